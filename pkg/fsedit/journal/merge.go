package journal

import (
	"cmp"
	"errors"
	"iter"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// MergeOptions tune [Merge]. The zero value is good.
type MergeOptions struct {
	Backward bool // newest first
	// Torn is told of entries that cannot be read; they are left out.
	Torn func(f *File, err error)
}

// Merge lists the entries of all files in the order of time. An error ends it.
func Merge(files []*File, o MergeOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		var heads []*head
		for _, f := range files {
			h := &head{file: f, next: 0, step: 1, torn: o.Torn}
			if o.Backward {
				h.next, h.step = f.Len()-1, -1
			}
			if err := h.advance(); err != nil {
				yield(Entry{}, err)
				return
			}
			heads = append(heads, h)
		}
		for {
			best := pick(heads, o.Backward)
			if best == nil {
				return
			}
			e := best.entry
			if !yield(e, nil) {
				return
			}
			for _, h := range heads {
				if h != best && (!h.valid || order(h.entry, e) != 0) {
					continue
				}
				if err := h.advance(); err != nil {
					yield(Entry{}, err)
					return
				}
			}
		}
	}
}

// head is where the merge stands in one file.
type head struct {
	file       *File
	entry      Entry
	valid      bool
	next, step int
	torn       func(*File, error)
}

// advance goes to the next entry that can be read.
func (h *head) advance() error {
	for h.valid = false; h.next >= 0 && h.next < h.file.Len(); {
		e, err := h.file.Entry(h.next)
		h.next += h.step
		if err == nil {
			h.entry, h.valid = e, true
			return nil
		}
		if !errors.Is(err, ondisk.ErrCorrupt) && !errors.Is(err, ondisk.ErrTooBig) {
			return err
		}
		if h.torn != nil {
			h.torn(h.file, err)
		}
	}
	return nil
}

// pick is the head with the first entry, or, backward, the last.
func pick(heads []*head, backward bool) *head {
	var best *head
	for _, h := range heads {
		switch {
		case !h.valid:
		case best == nil, backward && order(h.entry, best.entry) > 0, !backward && order(h.entry, best.entry) < 0:
			best = h
		}
	}
	return best
}

// order compares two entries as sd-journal does: by number where one writer gave
// both, by the monotonic clock in one boot, else by the wall clock. Zero means
// that they are the same.
func order(a, b Entry) int {
	if a.file.Writer() == b.file.Writer() {
		if c := cmp.Compare(a.Seqnum, b.Seqnum); c != 0 {
			return c
		}
	}
	if a.Boot == b.Boot {
		if c := cmp.Compare(a.Monotonic, b.Monotonic); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(a.Realtime, b.Realtime), cmp.Compare(a.Hash, b.Hash))
}
