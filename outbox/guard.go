package outbox

import "github.com/meshnode/meshnode/rpc"

// guarded runs what is the application's. Its panics, and those of the methods of the
// error that it returns, are an *rpc.Error.
func guarded(f func() (any, error)) (v any, err error) {
	return rpc.Guard(func() (any, error) {
		v, err := f()
		if err != nil {
			return nil, rpc.AsError(err)
		}
		return v, nil
	})
}
