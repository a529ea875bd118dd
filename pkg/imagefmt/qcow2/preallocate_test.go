//go:build linux

package qcow2

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"syscall"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
)

// TestPreallocate: all clusters have their place, as qemu-img counts them, and
// take the room on the host that was asked for.
func TestPreallocate(t *testing.T) {
	content := pattern(diskSize, 3)
	clear(content[1<<20 : 4<<20])
	tests := []struct {
		options string
		full    bool // the host has room for all of the disk
	}{
		{"preallocation=metadata", false},
		{"preallocation=metadata cluster_size=512 compat=0.10", false},
		{"preallocation=metadata extended_l2=on", false},
		{"preallocation=falloc", true},
		{"preallocation=full cluster_size=4k", true},
	}
	for _, tt := range tests {
		t.Run(tt.options, func(t *testing.T) {
			b := newBench(t)
			out, err := osfile.Create(b.path("out.qcow2"), osfile.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			w, err := Format{}.Create(context.Background(), out, diskSize, createOptions(tt.options))
			if err != nil {
				t.Fatal(err)
			}
			writePieces(t, w, content)
			if err := w.Finish(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := out.Commit(context.Background()); err != nil {
				t.Fatal(err)
			}
			b.expectClean("out.qcow2")
			b.expectAllocated("out.qcow2")
			if !bytes.Equal(b.truth("out.qcow2"), content) {
				t.Error("qemu-img reads something else")
			}
			if on := hostBytes(t, b.path("out.qcow2")); tt.full != (on >= diskSize) {
				t.Errorf("%d bytes on the host for a disk of %d", on, diskSize)
			}
		})
	}
}

// expectAllocated has qemu-img count: every cluster has its place.
func (b *bench) expectAllocated(name string) {
	b.t.Helper()
	var check struct {
		Total     int64 `json:"total-clusters"`
		Allocated int64 `json:"allocated-clusters"`
	}
	if err := json.Unmarshal([]byte(b.img("check -f qcow2 --output=json @"+name)), &check); err != nil {
		b.t.Fatal(err)
	}
	if check.Total == 0 || check.Allocated != check.Total {
		b.t.Errorf("%d of %d clusters are allocated", check.Allocated, check.Total)
	}
	for _, r := range b.theirMap(name, noRaw) {
		if !r.Data {
			b.t.Errorf("%+v has no place", r)
		}
	}
}

func hostBytes(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

// TestPreallocateDevice: what a device held before does not show.
func TestPreallocateDevice(t *testing.T) {
	b := newBench(t)
	sink := imagefmttest.NewUsedSink("dev", 8<<20)
	writeImage(t, sink, make([]byte, 3<<20), "preallocation=metadata", 0)
	b.save("out.qcow2", sink.File())
	b.expectAllocated("out.qcow2")
	if !bytes.Equal(b.truth("out.qcow2"), make([]byte, 3<<20)) {
		t.Error("old bytes show")
	}
}
