package osfile

import (
	"context"
	"fmt"
	"io"
	"sort"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// throughLog shows a file as its pending log will leave it. A log that was
// never committed is looked through.
func throughLog(s *source) (imagefmt.Source, error) {
	view, err := pendingView(s)
	if err != nil {
		s.Close()
		return nil, err
	}
	if view == nil {
		return s, nil
	}
	return view, nil
}

func pendingView(s *source) (*pendingSource, error) {
	if !s.mode.IsRegular() {
		return nil, nil
	}
	real, err := resolve(s.path)
	if err != nil {
		return nil, err
	}
	l, err := openLog(thisHost{}, logPath(real))
	if err != nil || l == nil {
		return nil, err
	}
	what, err := l.judge(context.Background(), thisHost{}, &diskFile{s.file, s.identity})
	if err == nil && what == redo {
		return &pendingSource{inner: s, log: l}, nil
	}
	l.file.Close()
	if err != nil {
		err = fmt.Errorf("%s: %w", s.path, err)
	}
	return nil, err
}

// pendingSource is a file with the records of its log laid over it.
type pendingSource struct {
	inner *source
	log   *redoLog
}

var (
	_ imagefmt.Source   = (*pendingSource)(nil)
	_ blockdev.Extenter = (*pendingSource)(nil)
)

func (s *pendingSource) Name() string     { return s.inner.Name() }
func (s *pendingSource) Identity() string { return s.inner.Identity() }
func (s *pendingSource) Size() int64      { return s.log.header.NewSize }

func (s *pendingSource) Sibling(name string) (imagefmt.Source, error) { return s.inner.Sibling(name) }

func (s *pendingSource) Close() error {
	s.log.file.Close()
	return s.inner.Close()
}

func (s *pendingSource) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("%s: negative offset %d", s.Name(), off)
	}
	if off >= s.Size() {
		return 0, io.EOF
	}
	n := min(int64(len(p)), s.Size()-off)
	for at := off; at < off+n; {
		r, inRecord, end := s.next(at, off+n)
		dst := p[at-off : end-off]
		var err error
		if inRecord {
			err = ondisk.Full(s.log.file, dst, r.at+at-r.off)
		} else {
			err = readPadded(s.inner, dst, at, s.inner.size)
		}
		if err != nil {
			return int(at - off), err
		}
		at = end
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// next tells whether off lies in a record, and where, before end, that ends.
func (s *pendingSource) next(off, end int64) (logRecord, bool, int64) {
	records := s.log.records
	i := sort.Search(len(records), func(i int) bool { return records[i].end() > off })
	switch {
	case i == len(records):
		return logRecord{}, false, end
	case records[i].off <= off:
		return records[i], true, min(end, records[i].end())
	default:
		return logRecord{}, false, min(end, records[i].off)
	}
}

func (s *pendingSource) NextExtent(off, n int64) (blockdev.Extent, error) {
	_, inRecord, end := s.next(off, off+n)
	switch {
	case inRecord:
		return blockdev.Extent{Off: off, Len: end - off, Kind: blockdev.Data}, nil
	case off >= s.inner.size:
		return blockdev.Extent{Off: off, Len: end - off, Kind: blockdev.Zero}, nil
	default:
		return blockdev.NextExtent(s.inner, off, min(end, s.inner.size)-off)
	}
}
