package edit

import (
	"context"
	"fmt"
)

// All are the edits in the order in which they run: what names devices first,
// the initramfs last, for it takes in what the others wrote.
func All() []Edit {
	return []Edit{
		devices{},
		grub2{},
		console{},
		network{},
		leftovers{},
		regenerate{},
		initramfsEdit{},
	}
}

// Plan runs every edit that applies on s.
func Plan(ctx context.Context, s *Staged, job Job) error {
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
