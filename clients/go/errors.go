package main

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Violation is one thing that is wrong: a field of the request, a subject that stands in the way, or
// a window of a budget.
type Violation struct {
	Kind, Name, Problem string
}

// ServiceError is what the server, or the way to it, answered instead of a result.
type ServiceError struct {
	Code    codes.Code
	Message string
	// Reason is for programs, such as PROMPT_TOO_LONG; empty where the transport failed.
	Reason string
	// Metadata has further facts for programs, such as the request id and the nearest names.
	Metadata   map[string]string
	Violations []Violation
	// RetryAfter is when another try has a chance; nil where the server does not say.
	RetryAfter *time.Duration
}

// asServiceError decodes an error of gRPC; others come back as they are.
func asServiceError(err error) error {
	answer, ok := status.FromError(err)
	if !ok || err == nil {
		return err
	}
	decoded := &ServiceError{Code: answer.Code(), Message: answer.Message()}
	for _, detail := range answer.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			decoded.Reason = detail.GetReason()
			decoded.Metadata = detail.GetMetadata()
		case *errdetails.BadRequest:
			for _, one := range detail.GetFieldViolations() {
				decoded.violate("field", one.GetField(), one.GetDescription())
			}
		case *errdetails.PreconditionFailure:
			for _, one := range detail.GetViolations() {
				decoded.violate("subject", one.GetSubject(), one.GetDescription())
			}
		case *errdetails.QuotaFailure:
			for _, one := range detail.GetViolations() {
				decoded.violate("budget", one.GetSubject(), one.GetDescription())
			}
		case *errdetails.RetryInfo:
			delay := detail.GetRetryDelay()
			after := time.Duration(delay.GetSeconds())*time.Second + time.Duration(delay.GetNanos())
			decoded.RetryAfter = &after
		}
	}
	return decoded
}

func (e *ServiceError) violate(kind, name, problem string) {
	e.Violations = append(e.Violations, Violation{kind, name, problem})
}

// statusNames are those of the gRPC specification; the package has its own spelling.
var statusNames = map[codes.Code]string{
	codes.Canceled:           "CANCELLED",
	codes.InvalidArgument:    "INVALID_ARGUMENT",
	codes.DeadlineExceeded:   "DEADLINE_EXCEEDED",
	codes.NotFound:           "NOT_FOUND",
	codes.PermissionDenied:   "PERMISSION_DENIED",
	codes.ResourceExhausted:  "RESOURCE_EXHAUSTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION",
	codes.Unimplemented:      "UNIMPLEMENTED",
	codes.Internal:           "INTERNAL",
	codes.Unavailable:        "UNAVAILABLE",
	codes.Unauthenticated:    "UNAUTHENTICATED",
}

// Error is one line.
func (e *ServiceError) Error() string {
	name, known := statusNames[e.Code]
	if !known {
		name = e.Code.String()
	}
	return fmt.Sprintf("%s: %s", name, e.Message)
}

// Explain is everything that the error says, for people.
func (e *ServiceError) Explain() string {
	lines := []string{"error: " + e.Error()}
	if e.Reason != "" {
		lines = append(lines, "  reason: "+e.Reason)
	}
	keys := make([]string, 0, len(e.Metadata))
	for key := range e.Metadata {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		lines = append(lines, fmt.Sprintf("  %s: %s", key, e.Metadata[key]))
	}
	for _, one := range e.Violations {
		lines = append(lines, fmt.Sprintf("  wrong %s: %s: %s", one.Kind, one.Name, one.Problem))
	}
	if e.RetryAfter != nil {
		milliseconds := (*e.RetryAfter + time.Millisecond - 1) / time.Millisecond
		lines = append(lines, fmt.Sprintf("  retry after: %d ms", milliseconds))
	}
	return strings.Join(lines, "\n")
}
