package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// The numbers travel on the wire, so none may ever change.
func TestCodeNumbers(t *testing.T) {
	t.Parallel()
	want := []struct {
		code   Code
		number uint64
		name   string
	}{
		{OK, 0, "OK"},
		{Canceled, 1, "Canceled"},
		{InvalidArgument, 3, "InvalidArgument"},
		{DeadlineExceeded, 4, "DeadlineExceeded"},
		{NotFound, 5, "NotFound"},
		{AlreadyExists, 6, "AlreadyExists"},
		{PermissionDenied, 7, "PermissionDenied"},
		{ResourceExhausted, 8, "ResourceExhausted"},
		{FailedPrecondition, 9, "FailedPrecondition"},
		{Unimplemented, 12, "Unimplemented"},
		{Internal, 13, "Internal"},
		{Unavailable, 14, "Unavailable"},
		{Unauthenticated, 16, "Unauthenticated"},
		{NotOwner, 17, "NotOwner"},
	}
	codes := Codes()
	if len(codes) != len(want) || len(codeNames) != len(want) {
		t.Fatalf("%d codes and %d names, want %d", len(codes), len(codeNames), len(want))
	}
	for i, w := range want {
		if uint64(w.code) != w.number || w.code.String() != w.name || w.code.Error() != w.name || codes[i] != w.code {
			t.Errorf("code %d is %d %q, at its place in Codes stands %v; want %d %q", i, w.code, w.code, codes[i], w.number, w.name)
		}
	}
	if !slices.IsSorted(codes) {
		t.Error("Codes are not sorted")
	}
	for _, unknown := range []Code{2, 10, 15, 18, 1 << 40} {
		if got, want := unknown.String(), fmt.Sprintf("Code(%d)", uint64(unknown)); got != want {
			t.Errorf("unknown code prints %q, want %q", got, want)
		}
	}
}

// A code round-trips through msgpack as the number that it is, known or not.
func TestCodeTravels(t *testing.T) {
	t.Parallel()
	for _, code := range append(Codes(), 2, 99, 1<<63) {
		b, err := Encode(nil, &code)
		if err != nil {
			t.Fatal(err)
		}
		var got Code
		if err := Decode(b, &got); err != nil || got != code {
			t.Errorf("%v arrives as %v, %v", code, got, err)
		}
	}
}

func TestErrorIs(t *testing.T) {
	t.Parallel()
	for _, code := range Codes()[1:] {
		var err error = Errorf(code, "why %d", 7)
		wrapped := fmt.Errorf("around: %w", err)
		for _, other := range Codes() {
			if got := errors.Is(err, other); got != (code == other) {
				t.Errorf("errors.Is(%v, %v) = %v", err, other, got)
			}
			if got := errors.Is(wrapped, other); got != (code == other) {
				t.Errorf("errors.Is(wrapped %v, %v) = %v", err, other, got)
			}
		}
		if got := errors.Is(err, context.Canceled); got != (code == Canceled) {
			t.Errorf("errors.Is(%v, context.Canceled) = %v", err, got)
		}
		if got := errors.Is(err, context.DeadlineExceeded); got != (code == DeadlineExceeded) {
			t.Errorf("errors.Is(%v, context.DeadlineExceeded) = %v", err, got)
		}
		if errors.Is(err, errors.New("why 7")) || errors.Is(err, nil) {
			t.Errorf("%v matches what it should not", err)
		}
		if err.Error() != code.String()+": why 7" {
			t.Errorf("text %q", err)
		}
	}
	if got := (&Error{Code: NotFound}).Error(); got != "NotFound" {
		t.Errorf("an error without a message prints %q", got)
	}
}

// uncomparable is an error that must not be compared with ==.
type uncomparable []string

func (uncomparable) Error() string { return "uncomparable" }

func TestAsError(t *testing.T) {
	t.Parallel()
	own := &Error{Code: NotFound, Message: "no cart", Detail: []byte{1}}
	var nothing *Error
	cases := []struct {
		name    string
		err     error
		code    Code
		message string
	}{
		{"own", own, NotFound, "no cart"},
		{"wrapped own", fmt.Errorf("cart: %w", own), NotFound, "cart: no cart"},
		{"joined own", errors.Join(errors.New("x"), own), NotFound, "x\nno cart"},
		{"code", PermissionDenied, PermissionDenied, ""},
		{"unknown code", Code(99), Code(99), ""},
		{"wrapped code", fmt.Errorf("door: %w", PermissionDenied), PermissionDenied, "door: PermissionDenied"},
		{"canceled", context.Canceled, Canceled, "context canceled"},
		{"wrapped deadline", fmt.Errorf("read: %w", context.DeadlineExceeded), DeadlineExceeded, "read: context deadline exceeded"},
		{"plain", errors.New("disk full"), Internal, "disk full"},
		{"empty text", errors.New(""), Internal, ""},
		{"uncomparable", uncomparable{"a"}, Internal, "uncomparable"},
		{"typed nil", nothing, Internal, "a nil *rpc.Error was returned as an error"},
		{"wrapped typed nil", fmt.Errorf("x: %w", nothing), Internal, "a nil *rpc.Error was returned as an error"},
		{"OK", OK, Internal, "an error with the code OK"},
		{"own OK", Errorf(OK, "fine"), Internal, "an error with the code OK: fine"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := AsError(c.err)
			if e == nil || e.Code != c.code || e.Message != c.message {
				t.Fatalf("AsError gives %#v, want %v %q", e, c.code, c.message)
			}
			if CodeOf(c.err) != c.code {
				t.Errorf("CodeOf gives %v", CodeOf(c.err))
			}
			if again := AsError(e); again != e {
				t.Errorf("AsError of its own result gives another one: %v", again)
			}
		})
	}
	if AsError(nil) != nil || CodeOf(nil) != OK {
		t.Error("nil is an error")
	}
	if AsError(own) != own {
		t.Error("an *Error is not itself any more")
	}
}
