package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// errExited is what the caller of Do gets if fn ends its goroutine
// (runtime.Goexit, testing's FailNow) instead of returning.
var errExited = errors.New("run in network namespace: function exited its goroutine")

// Do runs fn inside the network namespace that path leads to and that has the
// given inode number, and returns fn's error. It returns [ErrGone] if path
// leads elsewhere by now, and needs CAP_SYS_ADMIN over both namespaces.
//
// fn runs on a goroutine of its own that stays on one thread; the caller's
// thread and the main thread never leave their namespace. What fn opens
// belongs to the foreign namespace and is fn's to close. Goroutines that fn
// starts run outside: the runtime makes no thread from a locked one.
// A panic of fn reaches the caller. Do may be called concurrently.
func Do(path string, inode uint32, fn func() error) (err error) {
	file, err := open(path, inode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	results := make(chan result, 1)
	goLocked(func() { call(file, fn, results) })
	res := <-results
	if res.panicked != nil {
		panic(fmt.Sprintf("%v\n\nin network namespace %d:\n%s", res.panicked, inode, res.stack))
	}
	return res.err
}

// result is how a function ended.
type result struct {
	err      error
	panicked any
	stack    []byte
}

// call runs fn inside the namespace and sends exactly one result, however fn
// ends.
func call(file *os.File, fn func() error, results chan<- result) {
	res, returned := result{}, false
	defer func() {
		if !returned {
			res = result{err: errExited, panicked: recover()} // recover is nil after Goexit
			res.stack = debug.Stack()
		}
		results <- res
	}()
	res.err = inside(file, fn)
	returned = true
}

// goLocked runs body on a goroutine of its own, locked to a thread that is not
// the process's first. The runtime cannot end that one, so it must never be in
// a foreign namespace: it could hold it for good, and would show it to the
// whole process as /proc/self/ns/net.
func goLocked(body func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			body()
			return
		}
		done := make(chan struct{})
		go func() { // gets another thread: this one is taken until done
			defer close(done)
			runtime.LockOSThread()
			body()
		}()
		<-done
		runtime.UnlockOSThread()
	}()
}

// inside runs fn in the namespace of file and takes the thread, to which the
// goroutine is locked, back home. Only then is the thread given to others: if
// the way back fails it stays locked, and ends with its goroutine.
func inside(file *os.File, fn func() error) (err error) {
	home, err := os.Open(threadPath)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open own network namespace: %w", err)
	}
	defer func() { err = errors.Join(err, home.Close()) }()
	if err := enter(file); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		if back := enter(home); back != nil {
			err = errors.Join(err, fmt.Errorf("return from network namespace: %w", back))
			return
		}
		runtime.UnlockOSThread()
	}()
	return fn()
}
