package event

import "context"

// Source yields events: the kernel's, or a recording's. What reads it cannot
// tell which.
type Source interface {
	// Read waits until at least one event is there, fills dst from the front
	// and says how many. It returns io.EOF at the end of a recording, and
	// ctx's error once ctx is done and nothing is left to hand out. dst must
	// not be empty. One goroutine may call Read at a time.
	Read(ctx context.Context, dst []Event) (int, error)
	// Close ends the source and gives back what it holds. It may be called
	// once, after the last Read has returned.
	Close() error
}
