//go:build linux

package xfs

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// moveRows are filesystems of version 4, which mkfs.xfs(8) fills.
var moveRows = []mkfsRow{
	{name: "default", args: "-m crc=0"},
	{name: "512", args: "-m crc=0 -b size=512 -n ftype=0"},
	{name: "finobt0-i512", args: "-m crc=0,finobt=0 -i size=512"},
	{name: "lazy0", args: "-m crc=0 -l lazy-count=0"},
	{name: "logv1-1k", args: "-m crc=0 -b size=1024 -l version=1"},
	{name: "64k", args: "-m crc=0 -b size=65536", size: 512},
	{name: "sector4k", args: "-m crc=0 -s size=4096 -d agcount=2"},
}

// TestMovingVersion4 moves files about where no kernel looks at them after.
func TestMovingVersion4(t *testing.T) {
	proto, _ := protoTree(t, t.TempDir())
	for i, row := range testtool.Some(3, moveRows) {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.args += " -p " + proto
			image := row.mkfs(t)
			look := func() map[string]string {
				out := map[string]string{}
				f := &tree{open(t, fsedittest.OpenImage(t, image))}
				describe(t, f, f.Root(), "", out)
				return out
			}
			want := look()
			r := rand.New(rand.NewPCG(uint64(i), 9))
			for range 4 {
				m := newMover(t, image)
				if done := m.shuffle(r, 60, nil); done < 5 {
					t.Errorf("only %d operations", done)
				}
				if err := m.stage.Do(func() error { return m.burst(m.v.super.RootIno, 150) }); err != nil {
					t.Error(err)
				}
				m.finish()
				m.write(image)
				checkRepair(t, image)
				checkFree(t, image)
				if got := look(); !maps.Equal(got, want) {
					t.Error("files changed")
				}
			}
		})
	}
}
