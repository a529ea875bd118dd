//go:build guests && linux

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// overlaySize is what an overlay of a guest's edits may take, in bytes.
const overlaySize = 64 << 20

// TestGuestOverlay starts a guest from an overlay over its image, which stays as
// it was, edits and boot included.
func TestGuestOverlay(t *testing.T) {
	testtool.Need(t, "qemu-img", "qemu-system-x86_64")
	src, dir := guestImage(t, "mbr"), t.TempDir()
	out, before := filepath.Join(dir, "overlay.qcow2"), stamp(t, src)
	start := time.Now()
	convertGuest(t, "--overlay", src, "--to", "kvm", "-o", out)
	t.Logf("%v", time.Since(start))
	testtool.Run(t, "qemu-img", "check", out)
	var st syscall.Stat_t
	if err := syscall.Stat(out, &st); err != nil {
		t.Fatal(err)
	}
	if size := st.Blocks * 512; size > overlaySize {
		t.Errorf("the overlay takes %d bytes, over %d", size, overlaySize)
	}
	checkReport(t, boot(t, out, "--write"), []string{"root=/dev/vda1"})
	if after := stamp(t, src); after != before {
		t.Errorf("the source was changed: %s, then %s", before, after)
	}
}

// TestGuestAppliance starts a guest that came out of an OVA: the disk is written
// as a streamOptimized VMDK, and read from it.
func TestGuestAppliance(t *testing.T) {
	src, dir := guestImage(t, "mbr"), t.TempDir()
	ova, out := filepath.Join(dir, "guest.ova"), filepath.Join(dir, "guest.qcow2")
	convertGuest(t, src, "-O", "ova", "-o", ova)
	convertGuest(t, ova, "--to", "kvm", "-o", out)
	if err := os.Remove(ova); err != nil {
		t.Fatal(err)
	}
	testtool.Run(t, "qemu-img", "check", out)
	checkReport(t, boot(t, out, "--write"), []string{"root=/dev/vda1"})
}
