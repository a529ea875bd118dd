package xfs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// recover replays the log when the filesystem was not unmounted, as a mount does.
func (v *volume) recover(ctx context.Context) error {
	l := v.log()
	s, err := l.state(ctx)
	if err != nil {
		return err
	}
	if s.clean {
		return nil
	}
	at := ondisk.At(layer, "log", l.off)
	dev, ok := v.dev.(blockdev.Writable)
	if !ok {
		return at.Wrap(ondisk.Because(ondisk.ErrReadOnly, "it must be replayed, and the device cannot be written"))
	}
	if bits := v.words[logIncompat] &^ 1; bits != 0 {
		return at.Unsupported("it must be replayed, and has features %#x", bits)
	}
	r := &logReplay{log: l, v: v, dev: dev}
	if err := r.run(ctx, s); err != nil {
		return err
	}
	if err := v.rebase(); err != nil {
		return err
	}
	v.replayed = true
	return r.finish(s)
}

// finish sums up the counters of the superblock, which are not in the log, and
// marks the log clean. What takes more than a replay is left to the guest's own
// kernel, and then the log is, too: without it the kernel would not look.
func (r *logReplay) finish(s *logState) error {
	v := r.v
	if err := r.putCounters(); err != nil {
		return err
	}
	if len(r.intents) > 0 {
		kinds := map[string]bool{}
		for i := range r.intents {
			kinds[intentNames[i.kind]] = true
		}
		what := strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")
		v.unsure = "its log holds unfinished work: " + what
		v.notices = append(v.notices, fmt.Sprintf("the log holds unfinished work (%s), which the guest finishes when it mounts the filesystem", what))
		return nil
	}
	left, err := v.orphans()
	if err != nil {
		return err
	}
	if left {
		v.notices = append(v.notices, "files that were open when the guest stopped are deleted when it mounts the filesystem")
		v.unended = s
		return nil
	}
	if left, err = v.unfinishedCopies(); err != nil {
		return err
	}
	if left {
		v.unended = s
		return nil
	}
	if err := r.log.clear(r.dev, s); err != nil {
		return err
	}
	return r.at().Wrap(r.dev.Sync())
}

func (r *logReplay) putCounters() error {
	v := r.v
	c, err := v.counts()
	if err != nil {
		return err
	}
	raw := slices.Clone(v.super.raw)
	be.PutUint64(raw[sbICount:], c.inodes)
	be.PutUint64(raw[sbIFree:], c.freeInodes)
	be.PutUint64(raw[sbFDBlocks:], c.freeBlocks)
	sealSuper(raw)
	if err := r.store(raw, 0); err != nil {
		return err
	}
	return v.rebase()
}
