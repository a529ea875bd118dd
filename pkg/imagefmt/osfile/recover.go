package osfile

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
)

// Recover finishes a transaction that a crash has cut, if the file at path has
// one: it is then as if Commit had returned, or as if it had never been called.
// It reports whether it had to write. A file that was written to since, by a
// guest that was started, is left alone: ondisk.ErrBlocked, naming the log.
//
// Txn.File does this by itself. Who only reads needs none of it: [Open] sees
// the file through its log.
func Recover(ctx context.Context, path string) (done bool, err error) {
	real, err := resolve(path)
	if err != nil {
		return false, err
	}
	return recoverFile(ctx, thisHost{}, real)
}

func recoverFile(ctx context.Context, h host, path string) (bool, error) {
	l, err := openLog(h, logPath(path))
	if err != nil || l == nil {
		return false, err
	}
	l.file.Close()
	f, err := h.openImage(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return recoverLocked(ctx, h, path, f)
}

// recoverLocked works under the lock of f, and so reads the log again.
func recoverLocked(ctx context.Context, h host, path string, f hostFile) (bool, error) {
	l, err := openLog(h, logPath(path))
	if err != nil || l == nil {
		return false, err
	}
	defer l.file.Close()
	what, err := l.judge(ctx, h, f)
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	if what == redo {
		if err := l.applyMembers(ctx, h); err != nil {
			return false, err
		}
		if err := l.apply(f); err != nil {
			return false, fmt.Errorf("%s: replaying %s: %w", path, l.path, err)
		}
	}
	return what == redo, removeLog(h, l.path)
}

// applyMembers finishes the other files of a leader: their logs are valid only
// as long as the leader's is there. A file without its log is done.
func (l *redoLog) applyMembers(ctx context.Context, h host) error {
	for _, m := range l.members {
		path := filepath.Join(filepath.Dir(l.path), filepath.FromSlash(m.path))
		if err := applyMember(ctx, h, path, m.digest); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// applyMember replays the log of the file at path if it is the one that the
// leader lists. The leader was found already, so the log is valid.
func applyMember(ctx context.Context, h host, path string, digest []byte) error {
	l, err := openLog(h, logPath(path))
	if err != nil || l == nil {
		return err
	}
	defer l.file.Close()
	if !bytes.Equal(l.digest, digest) {
		return nil // a log of something else
	}
	f, err := h.openImage(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := l.inspect(ctx, f); err != nil {
		return err
	}
	if err := l.apply(f); err != nil {
		return err
	}
	return removeLog(h, l.path)
}

func removeLog(h host, path string) error {
	if err := h.remove(path); err != nil && !missing(err) {
		return err
	}
	return h.syncDir(filepath.Dir(path))
}
