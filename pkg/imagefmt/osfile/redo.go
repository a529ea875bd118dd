package osfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// progress is how far a log's changes have come in its file.
type progress struct {
	old bool // something is still as it was
	new bool // something is already as it shall be
}

// sized is as much of a host's file as a comparison needs.
type sized interface {
	io.ReaderAt
	Size() (int64, error)
}

// inspect compares a file with its log, block by block. A
// block that is neither old nor new was written by somebody else: then nothing
// may be replayed, and the error names the log.
func (l *redoLog) inspect(ctx context.Context, file sized) (progress, error) {
	h := l.header
	size, err := file.Size()
	if err != nil {
		return progress{}, err
	}
	p := progress{old: size != h.NewSize, new: size != h.OldSize}
	if size < min(h.OldSize, h.NewSize) || size > max(h.OldSize, h.NewSize) {
		return p, l.foreign()
	}
	now, then := make([]byte, maxRecord), make([]byte, maxRecord)
	for _, r := range l.records {
		if err := ctx.Err(); err != nil {
			return p, err
		}
		want, err := l.newBytes(r, then)
		if err != nil {
			return p, err
		}
		have := now[:r.n]
		if err := readPadded(file, have, r.off, size); err != nil {
			return p, err
		}
		if !r.compare(have, want, &p) {
			return p, l.foreign()
		}
	}
	return p, nil
}

// compare adds what the blocks of one record tell, and reports whether all are
// wholly old or wholly new.
func (r logRecord) compare(have, want []byte, p *progress) bool {
	old := r.old
	for at := 0; at < len(have); {
		end := blockEnd(r.off, at, len(have))
		isNew := bytes.Equal(have[at:end], want[at:end])
		isOld := bytes.Equal(blockDigest(have[at:end]), old[:blockDigestSize])
		if !isNew && !isOld {
			return false
		}
		p.new = p.new || !isOld
		p.old = p.old || !isNew
		at, old = end, old[blockDigestSize:]
	}
	return true
}

func (l *redoLog) foreign() error {
	return ondisk.Because(ondisk.ErrBlocked,
		"an unfinished change to this image lies in %s, but the image was written to since; remove that log to give the change up", l.path)
}

// apply writes the new bytes and makes them last.
func (l *redoLog) apply(file hostFile) error {
	buf := make([]byte, maxRecord)
	for _, r := range l.records {
		p, err := l.newBytes(r, buf)
		if err != nil {
			return err
		}
		if _, err := file.WriteAt(p, r.off); err != nil {
			return err
		}
	}
	size, err := file.Size()
	if err == nil && size != l.header.NewSize {
		err = file.Truncate(l.header.NewSize)
	}
	if err != nil {
		return err
	}
	return file.Sync()
}

// verdict says what is to be done about a log.
type verdict int

const (
	nothing verdict = iota // never committed, or done: the log is only litter
	redo                   // committed: the file is what the log says
)

// judge decides about a log by itself, its leader and its file.
func (l *redoLog) judge(ctx context.Context, h host, file sized) (verdict, error) {
	if !l.complete && l.header == (logHeader{}) {
		return nothing, l.blank()
	}
	committed, err := l.committed(h)
	if err != nil {
		return nothing, err
	}
	p, err := l.inspect(ctx, file)
	switch {
	case err != nil:
		return nothing, err
	case committed:
		return redo, nil
	case p.new && p.old:
		return nothing, ondisk.Because(ondisk.ErrBlocked, "a half finished change to this image lies in %s, which is damaged or has lost its leader %s", l.path, l.leader)
	case p.new && !l.complete:
		return nothing, ondisk.Because(ondisk.ErrBlocked, "the log %s of a change to this image is damaged", l.path)
	}
	return nothing, nil
}

// blank accepts a log without a header only when that was never written: empty,
// or zeros where the disk did not get to it.
func (l *redoLog) blank() error {
	size, err := l.file.Size()
	if err != nil {
		return err
	}
	p := make([]byte, min(size, logHeaderSize))
	if err := ondisk.Full(l.file, p, 0); err != nil {
		return err
	}
	if size >= logHeaderSize && !ondisk.IsZero(p) {
		return ondisk.Because(ondisk.ErrBlocked, "%s is in the place of a log, and is none or damaged; remove it if the image is good", l.path)
	}
	return nil
}

// committed reports whether the log is valid: complete, and listed by its
// leader if it has one.
func (l *redoLog) committed(h host) (bool, error) {
	if !l.complete || l.header.Role == roleLeader {
		return l.complete, nil
	}
	path := filepath.Join(filepath.Dir(l.path), filepath.FromSlash(l.leader))
	if !isLogPath(path) {
		return false, nil
	}
	leader, err := openLog(h, path)
	if err != nil || leader == nil {
		return false, err
	}
	defer leader.file.Close()
	if !leader.complete || leader.header.Role != roleLeader {
		return false, nil
	}
	for _, m := range leader.members {
		if bytes.Equal(m.digest, l.digest) {
			return true, nil
		}
	}
	return false, nil
}

// openLog reads the log at path; nil and no error when there is none.
func openLog(h host, path string) (*redoLog, error) {
	f, err := h.openLog(path)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l, err := readLog(path, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

// readPadded fills p from off; beyond size there are zeros.
func readPadded(r io.ReaderAt, p []byte, off, size int64) error {
	n := max(0, min(int64(len(p)), size-off))
	clear(p[n:])
	err := ondisk.Full(r, p[:n], off)
	if errors.Is(err, ondisk.ErrCorrupt) {
		return io.ErrUnexpectedEOF // a file of the host that shrinks is not a corrupt image
	}
	return err
}
