package osfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// commit is the way of a transaction to the disk. Its first file leads.
type commit struct {
	host    host
	files   []*txnFile
	logs    []string // made so far
	members []logMember
	old     [maxRecord]byte
	new     [maxRecord]byte
}

// log writes all logs, the leader's last: with that one they are valid.
func (c *commit) log(ctx context.Context) error {
	if len(c.files) > maxLogMembers {
		return ondisk.Because(ondisk.ErrTooBig, "%d files are too many for one transaction", len(c.files))
	}
	lead := c.files[0]
	dir := filepath.Dir(lead.real)
	for _, f := range c.files[1:] {
		toLeader, err := filepath.Rel(filepath.Dir(f.real), logPath(lead.real))
		if err != nil {
			return err
		}
		toMember, err := filepath.Rel(dir, f.real)
		if err != nil {
			return err
		}
		digest, err := c.logFile(ctx, f, roleMember, filepath.ToSlash(toLeader))
		if err != nil {
			return err
		}
		c.members = append(c.members, logMember{digest, filepath.ToSlash(toMember)})
	}
	_, err := c.logFile(ctx, lead, roleLeader, "")
	return err
}

func (c *commit) logFile(ctx context.Context, f *txnFile, role uint32, leader string) ([]byte, error) {
	path := logPath(f.real)
	out, err := c.host.createLog(path)
	if err != nil {
		return nil, err
	}
	c.logs = append(c.logs, path)
	digest, err := c.writeLog(ctx, out, f, role, leader)
	if err = errors.Join(err, out.Close()); err == nil {
		err = c.host.syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: writing the log: %w", path, err)
	}
	return digest, nil
}

func (c *commit) writeLog(ctx context.Context, out hostFile, f *txnFile, role uint32, leader string) ([]byte, error) {
	w := newLogWriter(out, role, f.oldSize, f.size)
	if role == roleMember {
		w.leader(leader)
	} else {
		for _, m := range c.members {
			w.member(m.path, m.digest)
		}
	}
	for e, err := range f.overlay.Changed(ctx) {
		if err == nil {
			err = c.logExtent(ctx, w, f, e)
		}
		if err != nil {
			return nil, err
		}
	}
	return w.commit()
}

// logExtent logs one run of written bytes, in pieces that end at multiples of
// maxRecord. Pieces that are as they were are left out.
func (c *commit) logExtent(ctx context.Context, w *logWriter, f *txnFile, e blockdev.Extent) error {
	for off, end := e.Off, min(e.End(), f.size); off < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(end-off, maxRecord-off%maxRecord)
		old, new := c.old[:n], c.new[:n]
		if err := readPadded(f.file, old, off, f.oldSize); err != nil {
			return err
		}
		if _, err := f.overlay.ReadAt(new, off); err != nil {
			return err
		}
		if !bytes.Equal(old, new) {
			w.data(off, old, new)
		}
		off += n
	}
	return w.err
}

// apply does what the logs say. The leader's file is the last.
func (c *commit) apply() error {
	for i := len(c.files) - 1; i >= 0; i-- {
		if err := c.applyFile(c.files[i]); err != nil {
			return fmt.Errorf("%s: %w", c.files[i].path, err)
		}
	}
	return nil
}

func (c *commit) applyFile(f *txnFile) error {
	l, err := openLog(c.host, logPath(f.real))
	if err != nil {
		return err
	}
	if l == nil || !l.complete {
		return errors.New("the log that was just written cannot be read")
	}
	defer l.file.Close()
	return l.apply(f.file)
}

// finish removes the logs after they were applied: the leader's last, because a
// member's is only worth something while the leader's is there.
func (c *commit) finish() error {
	for _, path := range c.logs {
		if err := removeLog(c.host, path); err != nil {
			return err
		}
	}
	return nil
}

// giveUp removes the logs before they were applied: the leader's first, since
// it may be whole although the disk said otherwise.
func (c *commit) giveUp() error {
	for i := len(c.logs) - 1; i >= 0; i-- {
		if err := removeLog(c.host, c.logs[i]); err != nil {
			return err
		}
	}
	return nil
}
