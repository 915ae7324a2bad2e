// Asks a Quorate server for text, or for its models.
//
//	quorate-client generate [--model ID]... [--profile NAME] [--max-tokens N]
//	    [--temperature T] [--timeout-ms N] PROMPT
//	quorate-client models [--timeout-ms N]
//
// QUORATE_TARGET, QUORATE_TLS_CA and QUORATE_TOKEN say which server, whom to trust and who calls.
// Ctrl-C ends the answer, here and at the server. Exit codes: 0 done, 1 failed, 2 usage, 130
// cancelled.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"example.com/quorate-client/quoratev1"
)

const usage = "usage: quorate-client generate [OPTION]... PROMPT, or quorate-client models"

// names collects an option that may be given more than once.
type names []string

func (n *names) String() string         { return strings.Join(*n, ",") }
func (n *names) Set(value string) error { *n = append(*n, value); return nil }

type question struct {
	command     string
	prompt      string
	models      names
	profile     string
	maxTokens   uint
	temperature float64
	timeout     time.Duration
	given       map[string]bool
}

func read(arguments []string) (question, bool) {
	var asked question
	if len(arguments) == 0 {
		return asked, false
	}
	asked.command = arguments[0]
	flags := flag.NewFlagSet(asked.command, flag.ContinueOnError)
	flags.Var(&asked.models, "model", "a model that answers; several vote")
	flags.StringVar(&asked.profile, "profile", "", "a named plan of the server")
	flags.UintVar(&asked.maxTokens, "max-tokens", 0, "most tokens of the answer")
	flags.Float64Var(&asked.temperature, "temperature", 0, "0 is greedy")
	milliseconds := flags.Int("timeout-ms", 60000, "deadline of the whole call")
	if err := flags.Parse(arguments[1:]); err != nil || *milliseconds <= 0 {
		return asked, false
	}
	asked.timeout = time.Duration(*milliseconds) * time.Millisecond
	asked.given = map[string]bool{}
	flags.Visit(func(one *flag.Flag) { asked.given[one.Name] = true })
	asked.prompt = flags.Arg(0)
	return asked, asked.command == "models" || (asked.command == "generate" && flags.NArg() == 1)
}

func (q question) request() *quoratev1.GenerateRequest {
	message := &quoratev1.ChatMessage{Role: "user", Content: q.prompt}
	request := &quoratev1.GenerateRequest{
		Input: &quoratev1.GenerateRequest_Chat{
			Chat: &quoratev1.Chat{Messages: []*quoratev1.ChatMessage{message}},
		},
		Sampling: &quoratev1.SamplingOptions{},
		Stopping: &quoratev1.StoppingOptions{},
	}
	// Without any of these the server's default profile answers.
	if q.given["profile"] {
		request.PlanChoice = &quoratev1.GenerateRequest_Profile{Profile: q.profile}
	}
	switch len(q.models) {
	case 0:
	case 1:
		single := &quoratev1.SinglePlan{Model: q.models[0]}
		request.PlanChoice = &quoratev1.GenerateRequest_Plan{
			Plan: &quoratev1.Plan{Kind: &quoratev1.Plan_Single{Single: single}},
		}
	default:
		ensemble := &quoratev1.EnsemblePlan{}
		for _, model := range q.models {
			ensemble.Members = append(ensemble.Members, &quoratev1.Member{Model: model})
		}
		request.PlanChoice = &quoratev1.GenerateRequest_Plan{
			Plan: &quoratev1.Plan{Kind: &quoratev1.Plan_Ensemble{Ensemble: ensemble}},
		}
	}
	// What is not set is the server's default; 0 would be a value.
	if q.given["max-tokens"] {
		most := uint32(q.maxTokens)
		request.Stopping.MaxTokens = &most
	}
	if q.given["temperature"] {
		request.Sampling.Temperature = &q.temperature
	}
	return request
}

func show(event *quoratev1.GenerateResponse) error {
	switch event := event.GetEvent().(type) {
	case *quoratev1.GenerateResponse_Delta:
		_, err := fmt.Print(event.Delta.GetText())
		return err
	case *quoratev1.GenerateResponse_Notice:
		fmt.Fprintf(os.Stderr, "note: %s\n", event.Notice.GetMessage())
	case *quoratev1.GenerateResponse_Finished:
		finished := event.Finished
		tokens := finished.GetUsage().GetGeneratedTokens()
		fmt.Fprintf(os.Stderr, "done: %s, %d tokens\n", finished.GetReason(), tokens)
	}
	return nil
}

func listModels(ctx context.Context, client *Client) error {
	models, err := client.ListModels(ctx)
	for _, model := range models {
		fmt.Printf("%s\t%s\t%s\n", model.GetId(), model.GetState(), model.GetMessage())
	}
	return err
}

func run(asked question) error {
	client, err := Connect(target(), os.Getenv("QUORATE_TLS_CA"), os.Getenv("QUORATE_TOKEN"))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, asked.timeout)
	defer cancel()
	if asked.command == "models" {
		return listModels(ctx, client)
	}
	return client.Generate(ctx, asked.request(), show)
}

func target() string {
	if address := os.Getenv("QUORATE_TARGET"); address != "" {
		return address
	}
	return "127.0.0.1:50051"
}

func main() {
	asked, ok := read(os.Args[1:])
	if !ok {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	err := run(asked)
	if err == nil {
		return
	}
	var refusal *ServiceError
	switch {
	case errors.As(err, &refusal) && refusal.Code == codes.Canceled:
		fmt.Fprintln(os.Stderr, "cancelled")
		os.Exit(130)
	case errors.As(err, &refusal):
		fmt.Fprintln(os.Stderr, refusal.Explain())
	default:
		fmt.Fprintf(os.Stderr, "error: %s\n", err)
	}
	os.Exit(1)
}
