package rpc

import (
	"cmp"
	"fmt"
	"reflect"
	"runtime/debug"
)

// PanicError is what a guard makes of code that did not return: an Internal error whose caller
// learns nothing of the stack. Packages that run users' code log it.
type PanicError struct {
	Value any // of the panic; nil if Exited
	Stack []byte
	// Exited says that the code ended its goroutine (runtime.Goexit, as testing.T.FailNow does)
	// instead of returning.
	Exited bool
	// Of is the type of the error that the code had returned and whose methods panicked. Empty:
	// the code itself did.
	Of string
}

// Error implements error.
func (e *PanicError) Error() string {
	switch {
	case e.Of != "" && e.Exited:
		return fmt.Sprintf("a method of the error that was returned (%s) ended its goroutine", e.Of)
	case e.Of != "":
		return fmt.Sprintf("a method of the error that was returned (%s) panicked: %s", e.Of, e.Text())
	case e.Exited:
		return "ended its goroutine (runtime.Goexit)"
	}
	return "panicked: " + e.Text()
}

// Text is Value as text. It has no limits that a value could break: methods that panic are
// caught, values that hold themselves are not followed, and what is long is cut.
func (e *PanicError) Text() (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("a %T whose methods panic", e.Value)
		}
	}()
	switch v := e.Value.(type) {
	case error:
		e := convert(v) // it knows what must not be asked for its text
		if own, ok := v.(*Error); ok {
			return own.Error()
		}
		return cmp.Or(e.Message, e.Error())
	case fmt.Stringer:
		return cut(v.String())
	}
	switch kind := reflect.ValueOf(e.Value).Kind(); {
	case kind == reflect.String, kind >= reflect.Bool && kind <= reflect.Complex128 && kind != reflect.Uintptr:
		return cut(fmt.Sprint(e.Value))
	}
	return fmt.Sprintf("a value of type %T", e.Value)
}

// Guard runs code of the user's. The error that it returns is nil, an *Error, or a *PanicError if
// f, or a method of the error that f returned, panicked. Nothing of the user's is left to be
// called. If f ends its goroutine Guard cannot return; see GuardTo.
func Guard(f func() (any, error)) (reply any, err error) {
	GuardTo(f, func(r any, e error) { reply, err = r, e })
	return reply, err
}

// GuardTo runs code of the user's, and then tells then what Guard would return. It does so
// exactly once and on the same goroutine, also if f ends that: GuardTo does not return then, but
// then has run.
func GuardTo(f func() (any, error), then func(reply any, err error)) {
	var (
		reply    any
		err      error
		finished bool
	)
	defer func() {
		if !finished {
			p := recover()
			broken := &PanicError{Value: p, Stack: debug.Stack(), Exited: p == nil}
			if err != nil {
				broken.Of = typeOf(err)
			}
			reply, err = nil, broken
		}
		then(reply, err)
	}()
	if reply, err = f(); err != nil {
		reply, err = nil, convert(err)
	}
	finished = true
}
