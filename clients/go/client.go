package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"example.com/quorate-client/quoratev1"
)

// Client is a connection to a Quorate server. Its methods return a *ServiceError for what the server
// refuses, and for what fails on the way to it.
type Client struct {
	connection *grpc.ClientConn
	inference  quoratev1.InferenceServiceClient
	models     quoratev1.ModelServiceClient
}

// Connect makes a client of the server at HOST:PORT. Without a file of certificates to trust it
// speaks plain text; a token, which tells the server who calls, is sent over TLS alone.
func Connect(target, tlsCA, token string) (*Client, error) {
	if token != "" && tlsCA == "" {
		return nil, errors.New("a token is sent over TLS alone: name the certificates to trust")
	}
	options := []grpc.DialOption{grpc.WithInsecure()}
	if tlsCA != "" {
		trusted, err := certificates(tlsCA)
		if err != nil {
			return nil, err
		}
		tls := credentials.NewClientTLSFromCert(trusted, "")
		options = []grpc.DialOption{grpc.WithTransportCredentials(tls)}
	}
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(token)))
	}
	connection, err := grpc.Dial(target, options...)
	if err != nil {
		return nil, err
	}
	return &Client{
		connection: connection,
		inference:  quoratev1.NewInferenceServiceClient(connection),
		models:     quoratev1.NewModelServiceClient(connection),
	}, nil
}

// Close closes the connection.
func (c *Client) Close() error {
	return c.connection.Close()
}

// Generate streams the events of an answer to show: accepted, then deltas and notices, at last
// finished. It returns when the answer is complete, when show fails, or when ctx ends, which ends
// the request at the server too.
func (c *Client) Generate(
	ctx context.Context,
	request *quoratev1.GenerateRequest,
	show func(*quoratev1.GenerateResponse) error,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.inference.Generate(ctx, request)
	if err != nil {
		return asServiceError(err)
	}
	for {
		event, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return asServiceError(err)
		}
		if err := show(event); err != nil {
			return err
		}
	}
}

// ListModels returns every model that the server knows, in the order of its configuration.
func (c *Client) ListModels(ctx context.Context) ([]*quoratev1.Model, error) {
	response, err := c.models.ListModels(ctx, &quoratev1.ListModelsRequest{})
	if err != nil {
		return nil, asServiceError(err)
	}
	return response.GetModels(), nil
}

func certificates(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificates in it", path)
	}
	return pool, nil
}

// bearer is a token that goes with every call.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }
