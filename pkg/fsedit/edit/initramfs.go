package edit

import (
	"context"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

type initramfsEdit struct{}

func (initramfsEdit) Name() string                                         { return "initramfs" }
func (initramfsEdit) Applies(f *guest.Facts) bool                          { return false }
func (e initramfsEdit) Plan(ctx context.Context, s *Staged, job Job) error { return nil }
