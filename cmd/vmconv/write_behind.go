package main

import "io"

const (
	behindSize  = 1 << 20 // bytes of one write
	behindDepth = 3       // writes that wait
)

// writeBehind gathers small writes to large ones, and makes them while the next
// are gathered. An error shows at a later write, or at Close.
type writeBehind struct {
	full, empty chan []byte
	failed      chan struct{} // closed when err is set
	done        chan struct{}
	err         error
	buf         []byte
}

func newWriteBehind(out io.Writer) *writeBehind {
	w := &writeBehind{
		full: make(chan []byte, behindDepth), empty: make(chan []byte, behindDepth+1),
		failed: make(chan struct{}), done: make(chan struct{}),
	}
	for range behindDepth {
		w.empty <- make([]byte, 0, behindSize)
	}
	w.buf = make([]byte, 0, behindSize)
	go w.run(out)
	return w
}

func (w *writeBehind) run(out io.Writer) {
	defer close(w.done)
	for p := range w.full {
		if w.err != nil {
			continue
		}
		if _, err := out.Write(p); err != nil {
			w.err = err
			close(w.failed)
			continue
		}
		w.empty <- p[:0]
	}
}

func (w *writeBehind) Write(p []byte) (int, error) {
	n := 0
	for len(p) > 0 {
		if len(w.buf) == cap(w.buf) {
			if err := w.flush(); err != nil {
				return n, err
			}
		}
		k := copy(w.buf[len(w.buf):cap(w.buf)], p)
		w.buf = w.buf[:len(w.buf)+k]
		p, n = p[k:], n+k
	}
	return n, nil
}

// flush hands the buffer over and takes an empty one.
func (w *writeBehind) flush() error {
	select {
	case w.full <- w.buf:
	case <-w.failed:
		return w.err
	}
	w.buf = nil
	select {
	case w.buf = <-w.empty:
		return nil
	case <-w.failed:
		return w.err
	}
}

// Close writes what is left, waits for all of it and tells what went wrong.
func (w *writeBehind) Close() error {
	if len(w.buf) > 0 {
		select {
		case w.full <- w.buf:
		case <-w.failed:
		}
	}
	close(w.full)
	<-w.done
	return w.err
}
