package rpc

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// MaxMessage bounds the text of an error, in bytes. AsError cuts what is longer, so that one
// handler's error cannot fill the header of a reply.
const MaxMessage = 8 << 10

// maxTree is how many errors AsError looks at behind one. An error may unwrap to itself.
const maxTree = 1000

// AsError returns err as an *Error: itself if it is one, with the code, detail and RetryAfter of
// the first *Error in its tree, with the code of the first Code, Canceled or DeadlineExceeded for
// context's errors, else Internal. The message is err's own text, so what a wrapper adds is kept.
// nil stays nil. What is not nil is a failure: a nil *Error and the code OK become Internal.
//
// AsError calls the methods of err, which may be anybody's. A panic in one of them makes an
// Internal error that says so, a tree that does not end is not followed, and text beyond
// MaxMessage is cut.
func AsError(err error) (e *Error) {
	switch err := err.(type) {
	case nil:
		return nil
	case *Error:
		return err.failure()
	}
	defer func() {
		if p := recover(); p != nil {
			e = &Error{Code: Internal, Message: (&PanicError{Value: p, Of: typeOf(err)}).Error()}
		}
	}()
	return convert(err)
}

// CodeOf returns the code of an error; nil is OK.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	return AsError(err).Code
}

// convert is AsError without the guard.
func convert(err error) *Error {
	if e, ok := err.(*Error); ok {
		return e.failure()
	}
	s := search{left: maxTree}
	s.look(err)
	if s.left < 0 { // its text may be as endless as its tree
		return &Error{Code: Internal, Message: fmt.Sprintf("an error (%s) that unwraps without end", typeOf(err))}
	}
	text := err.Error()
	switch {
	case s.found && s.err == nil:
		return s.err.failure() // which says so
	case s.found:
		return s.err.failure().within(text)
	case s.coded && text == s.code.String():
		return (&Error{Code: s.code}).failure()
	case s.coded:
		return (&Error{Code: s.code, Message: cut(text)}).failure()
	case s.canceled:
		return &Error{Code: Canceled, Message: cut(text)}
	case s.expired:
		return &Error{Code: DeadlineExceeded, Message: cut(text)}
	}
	return &Error{Code: Internal, Message: cut(text)}
}

// failure returns e, unless it claims to be none or says too much.
func (e *Error) failure() *Error {
	switch {
	case e == nil:
		return &Error{Code: Internal, Message: "a nil *rpc.Error was returned as an error"}
	case e.Code == OK:
		return &Error{Code: Internal, Message: cut("an error with the code " + e.Error()), Detail: e.Detail}
	case len(e.Message) > MaxMessage:
		short := *e
		short.Message = cut(e.Message)
		return &short
	}
	return e
}

// within returns e with the text of the error that wraps it. The wrapper repeats the code's name,
// which the message need not.
func (e *Error) within(text string) *Error {
	own := e.Error()
	if text == own {
		return e
	}
	if e.Message != "" {
		text = strings.Replace(text, own, e.Message, 1)
	}
	wrapped := *e
	wrapped.Message = cut(text)
	return &wrapped
}

// search looks through the tree of an error, as errors.As and errors.Is do but once for all that
// is asked, and within bounds.
type search struct {
	left int // errors that may still be looked at; negative: there were more

	found    bool // an *Error
	err      *Error
	coded    bool // a Code
	code     Code
	canceled bool
	expired  bool
}

func (s *search) look(err error) {
	if err == nil {
		return
	}
	if s.left--; s.left < 0 {
		return
	}
	s.match(err)
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		s.look(x.Unwrap())
	case interface{ Unwrap() []error }:
		for _, next := range x.Unwrap() {
			if s.look(next); s.left < 0 {
				return
			}
		}
	}
}

// match takes note of what one error is. The first of each kind counts.
func (s *search) match(err error) {
	switch x := err.(type) {
	case *Error:
		if !s.found {
			s.found, s.err = true, x
		}
		return
	case Code:
		if !s.coded {
			s.coded, s.code = true, x
		}
		return
	}
	if x, ok := err.(interface{ As(any) bool }); ok {
		if !s.found {
			s.found = x.As(&s.err)
		}
		if !s.coded {
			s.coded = x.As(&s.code)
		}
	}
	x, matches := err.(interface{ Is(error) bool })
	s.canceled = s.canceled || err == context.Canceled || matches && x.Is(context.Canceled)
	s.expired = s.expired || err == context.DeadlineExceeded || matches && x.Is(context.DeadlineExceeded)
}

// cut shortens a text to MaxMessage.
func cut(text string) string {
	if len(text) <= MaxMessage {
		return text
	}
	note := fmt.Sprintf("... (%d bytes)", len(text))
	end := MaxMessage - len(note)
	for back := end; back > end-utf8.UTFMax; back-- {
		if utf8.RuneStart(text[back]) {
			end = back
			break
		}
	}
	return text[:end] + note
}

// typeOf names the type of an error, and says whether it is a nil pointer.
func typeOf(err error) string {
	name := fmt.Sprintf("%T", err)
	if v := reflect.ValueOf(err); v.Kind() == reflect.Pointer && v.IsNil() {
		return name + ", a nil pointer"
	}
	return name
}

// NotExecuted reports whether err says that the call was provably not executed: no handler has
// begun to serve it anywhere, so another try is safe for every method. Other errors leave open
// whether it was executed, or say that it was. It holds for errors that wrap an *Error, too.
func NotExecuted(err error) (yes bool) {
	defer func() {
		if recover() != nil { // a method of a foreign error
			yes = false
		}
	}()
	s := search{left: maxTree}
	s.look(err)
	return s.left >= 0 && s.found && s.err != nil && s.err.notExecuted
}

// MarkNotExecuted returns e, or a copy of it, for which NotExecuted is yes. It is for packages
// that carry calls and for client interceptors, which know whether the call was sent. What a
// handler returns counts as executed, however it is marked.
func (e *Error) MarkNotExecuted(yes bool) *Error {
	if e.notExecuted == yes {
		return e
	}
	marked := *e
	marked.notExecuted = yes
	return &marked
}

// refuse returns an error of a call that this package refuses to begin.
func refuse(code Code, format string, args ...any) *Error {
	return Errorf(code, format, args...).MarkNotExecuted(true)
}
