package osfile

import (
	"os"
	"sync"
)

// window is how many bytes are written before the system is asked to bring them
// to the disk. Without that it waits for the sync at the end, and the disk
// idles while the image is read.
const window = 16 << 20

// writeback gathers writes into one range.
type writeback struct {
	mu       sync.Mutex
	from, to int64
}

func (w *writeback) wrote(f *os.File, off, n int64) {
	if n <= 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.from == w.to {
		w.from, w.to = off, off+n
	} else {
		w.from, w.to = min(w.from, off), max(w.to, off+n)
	}
	if w.to-w.from >= window {
		startWriteback(f, w.from, w.to-w.from)
		w.from, w.to = 0, 0
	}
}
