//go:build linux

package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// changes are made to a filled tree, in its folder.
const changes = `set -e
echo changed >> small
chmod 4711 empty
chown 12:34 nodes/fifo
rm nodes/null
mknod nodes/sda1b b 8 2
rm -r dirs
mkdir "before.after" && echo 1 > before.after/x
ln small small2
setfattr -n user.more -v 1 empty
`

// TestDiff compares with what the kernel shows of two trees.
func TestDiff(t *testing.T) {
	testtool.Need(t, "mke2fs", "setfattr")
	image := fsedittest.NewImage(t, 96<<20)
	testtool.Run(t, "mke2fs", "-q", "-t", "ext4", image)
	dir, unmount := fsedittest.Mount(t, image, "")
	fsedittest.Populate{Entries: 200}.Fill(t, dir)
	shell(t, "cd "+dir+" && echo small > small && touch empty && mkdir -p dirs/deep && ln -s x dirs/deep/link && mkdir -p nodes", "")
	before := fsedittest.ReadHost(t, dir)
	unmount()
	other := fsedittest.CopyImage(t, image)
	dir, unmount = fsedittest.Mount(t, other, "")
	shell(t, "cd "+dir+"\n"+changes, "")
	after := fsedittest.ReadHost(t, dir)
	unmount()

	want := map[string]string{}
	for p := range maps.Keys(before) {
		want["/"+p] = "removed"
	}
	for p, e := range after {
		old, ok := before[p]
		old.Mtime, old.MtimeSec, old.Blocks = e.Mtime, e.MtimeSec, e.Blocks
		if e.Mode.IsDir() {
			old.Nlink = e.Nlink
		}
		switch {
		case !ok:
			want["/"+p] = "added"
		case cmp.Equal(old, e):
			delete(want, "/"+p)
		default:
			want["/"+p] = "changed"
		}
	}
	got := map[string]string{}
	var order []string
	r := wants(t, exitNo, []string{"diff", "--json", "-m", "sda", image, other})
	for line := range strings.Lines(r.stdout) {
		var c changeLine
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		got[c.Path], order = c.Change, append(order, c.Path)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-kernel +ours):\n%s", diff)
	}
	if !slices.IsSortedFunc(order, comparePaths) {
		t.Errorf("not in order: %q", order)
	}
	wants(t, exitOK, []string{"diff", "-m", "sda", other, other})
}
