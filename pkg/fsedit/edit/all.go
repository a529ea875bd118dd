package edit

import (
	"context"
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// All are the edits in the order in which they run: what names devices first,
// the initramfs last, for it takes in what the others wrote.
func All() []Edit {
	return []Edit{
		devices{},
		lvm{},
		uefi{},
		grub2{},
		entries{},
		console{},
		network{},
		leftovers{},
		regenerate{},
		initramfsEdit{},
	}
}

// Plan runs every edit that applies on s. A hibernated system is refused: the
// memory that it resumes holds the filesystems as they were.
func Plan(ctx context.Context, s *Staged, job Job) error {
	if swap := job.Facts.Hibernated; swap != "" {
		return ondisk.Because(ondisk.ErrBlocked, "the system is hibernated on %s: let it resume where it was, and shut it down", swap)
	}
	for _, e := range All() {
		if !e.Applies(job.Facts) {
			continue
		}
		if err := e.Plan(ctx, s, job); err != nil {
			return fmt.Errorf("%s: %w", e.Name(), err)
		}
	}
	return nil
}
