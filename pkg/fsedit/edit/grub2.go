package edit

import (
	"context"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

type grub2 struct{}

func (grub2) Name() string                                         { return "grub2" }
func (grub2) Applies(f *guest.Facts) bool                          { return false }
func (e grub2) Plan(ctx context.Context, s *Staged, job Job) error { return nil }
