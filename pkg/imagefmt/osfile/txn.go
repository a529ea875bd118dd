package osfile

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// TxnOptions tune a transaction. The zero value is good.
type TxnOptions struct {
	// Options are for the files that images of the transaction name.
	Options Options
	// Memory is how many changed bytes of each file stay in memory; 0 means 64 MiB.
	Memory int64
	// Spill takes what is beyond; without it such a change fails. It is called
	// at most once a file.
	Spill func() (blockdev.SpillFile, error)
}

// Txn changes files of the host, all of them or none, whatever happens in
// between. One goroutine calls its methods; the files are safe for concurrent
// use. Close has to be called, also after a Commit.
type Txn struct {
	host    host
	options TxnOptions
	files   []*txnFile
	ended   bool
}

// Begin starts a transaction without files.
func Begin(o TxnOptions) *Txn { return begin(thisHost{}, o) }

func begin(h host, o TxnOptions) *Txn { return &Txn{host: h, options: o} }

// File opens a regular file for changing. Nobody else may have it open until
// the transaction is closed: ondisk.ErrInUse. A change that a crash has cut is
// finished first. What is written to the file is seen by it alone, until Commit.
func (t *Txn) File(ctx context.Context, path string) (imagefmt.File, error) {
	if err := plainPath(path); err != nil {
		return nil, err
	}
	real, err := resolve(path)
	if err != nil {
		return nil, err
	}
	return t.open(ctx, path, real)
}

func (t *Txn) open(ctx context.Context, path, real string) (imagefmt.File, error) {
	if t.ended {
		return nil, errEnded
	}
	file, err := t.host.openImage(real)
	if err != nil {
		return nil, err
	}
	size, err := t.prepare(ctx, real, file)
	if err != nil {
		file.Close()
		return nil, err
	}
	base := &txnBase{file: file, limit: size}
	f := &txnFile{
		txn: t, path: path, real: real, file: file, options: t.options.Options,
		oldSize: size, size: size, base: base,
		overlay: blockdev.NewOverlay(base, blockdev.OverlayOptions{Memory: t.options.Memory, Spill: t.options.Spill}),
	}
	t.files = append(t.files, f)
	return f, nil
}

// holds reports whether the file at path is in the transaction already.
func (t *Txn) holds(path string) bool {
	real, err := resolve(path)
	return err == nil && slices.ContainsFunc(t.files, func(f *txnFile) bool { return f.real == real })
}

// prepare finishes an older change, and finds the size.
func (t *Txn) prepare(ctx context.Context, path string, file hostFile) (int64, error) {
	if _, err := recoverLocked(ctx, t.host, path, file); err != nil {
		return 0, err
	}
	return file.Size()
}

var errEnded = errors.New("osfile: the transaction has ended")

// Commit makes the changes. When it returns nil they are on the disk. On an
// error before the logs were complete nothing has changed; after that, the
// error names the log that waits for [Recover]. ctx counts until then only.
func (t *Txn) Commit(ctx context.Context) error {
	if t.ended {
		return errEnded
	}
	t.ended = true
	var changed []*txnFile
	for _, f := range t.files {
		if f.changed() {
			changed = append(changed, f)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	if err := t.room(changed); err != nil {
		return err
	}
	c := &commit{host: t.host, files: changed}
	if err := c.log(ctx); err != nil {
		return errors.Join(err, c.giveUp())
	}
	if err := c.apply(); err != nil {
		return fmt.Errorf("%w; the change is complete in %s, and the next command that writes to the image finishes it", err, logPath(changed[0].real))
	}
	return c.finish()
}

// room checks that each folder can take the logs, and what files grow by. The
// rest of the change may fill holes, so it is counted twice.
func (t *Txn) room(files []*txnFile) error {
	need := map[string]int64{}
	for _, f := range files {
		need[filepath.Dir(f.real)] += 2*f.overlay.ChangedBytes() + 64<<10
	}
	for dir, n := range need {
		free, err := t.host.freeSpace(dir)
		if err == nil && free < n {
			return ondisk.Because(ondisk.ErrNoSpace, "%s has %d bytes free, and the change needs up to %d", dir, free, n)
		}
	}
	return nil
}

// Close ends the transaction and its locks. Changes without a Commit are gone.
func (t *Txn) Close() error {
	t.ended = true
	var errs []error
	for _, f := range t.files {
		errs = append(errs, f.file.Close())
	}
	t.files = nil
	return errors.Join(errs...)
}
