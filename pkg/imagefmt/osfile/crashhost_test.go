package osfile

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// errCut is what everything gets after the power went.
var errCut = errors.New("the power went")

// crashHost is a machine in memory that loses its power after a number of
// operations. What was not synced by then may be there, or not, or half.
type crashHost struct {
	left    int // operations until the power goes; negative is never
	names   map[string]*crashFile
	durable map[string]*crashFile // names that a power cut leaves
	pending []func(names map[string]*crashFile)
}

func newCrashHost(content map[string][]byte) *crashHost {
	h := &crashHost{left: -1, names: map[string]*crashFile{}}
	for name, p := range content {
		h.names[name] = &crashFile{host: h, name: name, data: slices.Clone(p), durable: slices.Clone(p)}
	}
	h.durable = maps.Clone(h.names)
	return h
}

// spend counts one operation that changes something.
func (h *crashHost) spend() error {
	if h.left == 0 {
		return errCut
	}
	if h.left > 0 {
		h.left--
	}
	return nil
}

// crash is what the disk holds after the power came back.
func (h *crashHost) crash(r *rand.Rand) map[string][]byte {
	names := maps.Clone(h.durable)
	for _, change := range h.pending[:r.IntN(len(h.pending)+1)] {
		change(names)
	}
	left := map[string][]byte{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		left[name] = names[name].crash(r)
	}
	return left
}

func (h *crashHost) openImage(path string) (hostFile, error) { return h.openLog(path) }

func (h *crashHost) openLog(path string) (hostFile, error) {
	if f := h.names[path]; f != nil {
		return f, nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

func (h *crashHost) createLog(path string) (hostFile, error) {
	if err := h.spend(); err != nil {
		return nil, err
	}
	if h.names[path] != nil {
		return nil, exists(path)
	}
	f := &crashFile{host: h, name: path}
	h.change(func(names map[string]*crashFile) { names[path] = f })
	return f, nil
}

func (h *crashHost) remove(path string) error {
	if err := h.spend(); err != nil {
		return err
	}
	h.change(func(names map[string]*crashFile) { delete(names, path) })
	return nil
}

func (h *crashHost) change(c func(map[string]*crashFile)) {
	c(h.names)
	h.pending = append(h.pending, c)
}

func (h *crashHost) syncDir(string) error {
	if err := h.spend(); err != nil {
		return err
	}
	h.durable, h.pending = maps.Clone(h.names), nil
	return nil
}

func (h *crashHost) freeSpace(string) (int64, error) { return 1 << 40, nil }

// crashFile is a file of a crashHost.
type crashFile struct {
	host    *crashHost
	name    string
	data    []byte // as programs see it
	durable []byte // as it was at the last sync
	pending []crashOp
}

// crashOp is a write, or with nil bytes a change of size.
type crashOp struct {
	off int64
	p   []byte
}

func (op crashOp) do(data []byte) []byte {
	if op.p == nil {
		return resized(data, op.off)
	}
	if end := op.off + int64(len(op.p)); end > int64(len(data)) {
		data = resized(data, end)
	}
	copy(data[op.off:], op.p)
	return data
}

func resized(data []byte, n int64) []byte {
	if n <= int64(len(data)) {
		return data[:n:n]
	}
	return append(data, make([]byte, n-int64(len(data)))...)
}

// crash applies some of the operations that no sync came after, each block of a
// write for itself.
func (f *crashFile) crash(r *rand.Rand) []byte {
	data := slices.Clone(f.durable)
	keep := r.IntN(3) // none, some or all
	for _, op := range f.pending {
		switch {
		case op.p == nil && (keep == 2 || r.IntN(2) < keep):
			data = op.do(data)
		case op.p != nil:
			for at := 0; at < len(op.p); {
				end := blockEnd(op.off, at, len(op.p))
				if keep == 2 || r.IntN(2) < keep {
					data = crashOp{op.off + int64(at), op.p[at:end]}.do(data)
				}
				at = end
			}
		}
	}
	return data
}

func (f *crashFile) change(op crashOp) error {
	err := f.host.spend()
	if err == nil {
		f.data = op.do(f.data)
	}
	if err == nil || f.host.left == 0 {
		f.pending = append(f.pending, op) // the one that was cut may be half done
	}
	return err
}

func (f *crashFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.change(crashOp{off, slices.Clone(p)}); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *crashFile) Truncate(size int64) error { return f.change(crashOp{off: size}) }

func (f *crashFile) Sync() error {
	if err := f.host.spend(); err != nil {
		return err
	}
	f.durable, f.pending = slices.Clone(f.data), nil
	return nil
}

func (f *crashFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *crashFile) Size() (int64, error) { return int64(len(f.data)), nil }
func (f *crashFile) Close() error         { return nil }
func (f *crashFile) identity() string     { return f.name }
func (f *crashFile) extent(_, n int64) (blockdev.Kind, int64, error) {
	return blockdev.Data, n, nil
}

// logsIn lists the logs among files.
func logsIn(content map[string][]byte) (logs []string) {
	for name := range content {
		if isLogPath(filepath.Base(name)) {
			logs = append(logs, name)
		}
	}
	return logs
}
