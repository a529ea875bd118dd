//go:build linux

package ext

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// journalRows make logs of every kind that this kernel writes.
var journalRows = []mkfsRow{
	{name: "ext3", args: "-t ext3"},
	{name: "ext3-1k-data", args: "-t ext3 -b 1024", mount: "data=journal"},
	{name: "ext4-v3", args: "-t ext4"},
	{name: "ext4-v3-32bit", args: "-t ext4 -O ^64bit"},
	{name: "ext4-v3-async", args: "-t ext4", mount: "data=writeback,journal_checksum,journal_async_commit"},
	{name: "ext4-nocsum", args: "-t ext4 -O ^metadata_csum"},
	{name: "ext4-v1", args: "-t ext4 -O ^metadata_csum", mount: "journal_checksum"},
	{name: "ext4-v1-async", args: "-t ext4 -O ^metadata_csum", mount: "data=writeback,journal_checksum,journal_async_commit"},
	{name: "ext4-data", args: "-t ext4", mount: "data=journal"},
	{name: "ext4-data-1k-32bit", args: "-t ext4 -b 1024 -O ^64bit", mount: "data=journal"},
	{name: "ext4-wrap", args: "-t ext4 -b 1024 -J size=1"},
	{name: "ext4-wrap-data", args: "-t ext4 -J size=4", mount: "data=journal"},
	{name: "orphan_file", args: "-t ext4 -O orphan_file"},
	{name: "bigalloc", args: "-t ext4 -O bigalloc"},
}

// churn makes transactions with metadata, revoked blocks and data that must be
// escaped in a log. Each round ends in a commit.
func churn(t testing.TB, dir string, rounds int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	magic := bytes.Repeat([]byte("\xc0\x3b\x39\x98\x00\x00\x00\x01"), 2048)
	for i := range rounds {
		sub := filepath.Join(dir, fmt.Sprintf("d%d", i%5))
		must(os.RemoveAll(sub))
		must(os.MkdirAll(filepath.Join(sub, "x/y"), 0o755))
		for k := range 60 {
			name := filepath.Join(sub, fmt.Sprintf("file-%d-%d-%s", i, k, strings.Repeat("z", 60)))
			must(os.WriteFile(name, magic[:k*97], 0o600))
		}
		must(os.Symlink(strings.Repeat("s", 200), filepath.Join(sub, "link")))
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("sync%d", i%7)))
		must(err)
		_, err = f.Write(magic)
		must(err)
		must(f.Sync())
		must(f.Close())
	}
}

// dirtyImage returns a copy of a filesystem taken while it was mounted.
func dirtyImage(t testing.TB, row mkfsRow) string {
	t.Helper()
	image := row.mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, row.mount)
	fsedittest.Populate{Entries: 200}.Fill(t, dir)
	churn(t, dir, 25)
	image2 := fsedittest.CopyImage(t, image)
	unmount()
	return image2
}

// TestReplay compares our replay of a copy with the kernel's of another.
func TestReplay(t *testing.T) {
	for _, row := range testtool.Some(5, journalRows) {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			image := dirtyImage(t, row)
			overlay := fsedittest.OpenWritable(t, image)
			v := open(t, overlay)
			if !v.Info().Replayed {
				t.Fatal("the journal was not dirty")
			}
			got := fsedittest.ReadFS(t, &tree{v})

			ours := fsedittest.CopyImage(t, image)
			fsedittest.Save(t, overlay, ours)
			if !v.hasCompat(fcOrphanFile) { // e2fsck minds the flag, which is the editor's to clear
				fsedittest.CheckExt(t, ours)
			}

			dir, unmount := fsedittest.Mount(t, image, "")
			want := fsedittest.ReadHost(t, dir)
			unmount()
			fsedittest.Compare(t, want, got, fsedittest.Ignore{})
		})
	}
}

// TestReplayAfterShutdown stops a filesystem as a power cut does.
func TestReplayAfterShutdown(t *testing.T) {
	for _, how := range []string{"shutdown -f", "shutdown"} {
		row := mkfsRow{name: how, args: "-t ext4 -J size=4"}
		image := row.mkfs(t)
		dir, unmount := fsedittest.Mount(t, image, "")
		churn(t, dir, 30)
		testtool.Run(t, "xfs_io", "-x", "-c", how, dir)
		unmount()
		overlay := fsedittest.OpenWritable(t, image)
		got := fsedittest.ReadFS(t, &tree{open(t, overlay)})
		dir, unmount = fsedittest.Mount(t, image, "")
		want := fsedittest.ReadHost(t, dir)
		unmount()
		fsedittest.Compare(t, want, got, fsedittest.Ignore{})
	}
}

// TestReplayNeedsWritable: a dirty journal over a device that cannot be written
// is refused in words.
func TestReplayNeedsWritable(t *testing.T) {
	image := dirtyImage(t, journalRows[2])
	_, err := Driver{}.Open(t.Context(), []blockdev.Device{fsedittest.OpenImage(t, image)}, filesys.Options{})
	if !errors.Is(err, ondisk.ErrReadOnly) {
		t.Fatal(err)
	}
}

// logBlocks lists the positions of the log's blocks of one kind.
func logBlocks(t testing.TB, dev blockdev.Device, kind uint32) (offs []int64) {
	t.Helper()
	v, err := newVolume(dev, ondisk.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	j, err := v.openJournal()
	if err != nil {
		t.Fatal(err)
	}
	pos, seq := j.super.Start, j.super.Sequence
	for range j.last - j.first {
		block, err := j.read(pos)
		if err != nil {
			t.Fatal(err)
		}
		if be.Uint32(block) != journalMagic || be.Uint32(block[8:]) != seq {
			break
		}
		off, _ := j.place(pos)
		k := be.Uint32(block[4:])
		if k == kind {
			offs = append(offs, off)
		}
		n := uint32(1)
		if k == blockDescriptor {
			n += uint32(len(j.tags(block)))
		}
		if k == blockCommit {
			seq++
		}
		pos = j.after(pos, n)
	}
	return offs
}

// TestTornLog: a damaged last commit ends the log, any other is corruption.
func TestTornLog(t *testing.T) {
	image := dirtyImage(t, journalRows[2])
	commits := logBlocks(t, fsedittest.OpenImage(t, image), blockCommit)
	if len(commits) < 3 {
		t.Fatalf("%d transactions in the log", len(commits))
	}
	damage := func(off int64) *blockdev.Overlay {
		o := fsedittest.OpenWritable(t, image)
		if _, err := o.WriteAt([]byte("torn"), off+0x200); err != nil {
			t.Fatal(err)
		}
		return o
	}
	last := damage(slices.Max(commits))
	if !strings.HasPrefix(filepath.Base(image), "copy") || commits[len(commits)-1] != slices.Max(commits) {
		last = damage(commits[len(commits)-1])
	}
	fsedittest.ReadFS(t, &tree{open(t, last)})
	ours := fsedittest.CopyImage(t, image)
	fsedittest.Save(t, last, ours)
	fsedittest.CheckExt(t, ours)
	_, err := Driver{}.Open(t.Context(), []blockdev.Device{damage(commits[0])}, filesys.Options{})
	if !errors.Is(err, ondisk.ErrCorrupt) {
		t.Fatalf("a damaged commit in the middle: %v", err)
	}
}

// TestFastCommit: fast commits are seen, and left for the guest.
func TestFastCommit(t *testing.T) {
	row := mkfsRow{args: "-t ext4 -O fast_commit -b 1024"}
	image := row.mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, "")
	churn(t, dir, 2)
	testtool.Run(t, "sync", "-f", dir)
	f, err := os.Create(filepath.Join(dir, "fast"))
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("fast")
	f.Sync()
	f.Close()
	copied := fsedittest.CopyImage(t, image)
	unmount()
	v := open(t, fsedittest.OpenWritable(t, copied))
	if len(v.Info().Notices) == 0 {
		t.Fatal("no notice of a fast commit")
	}
}

// TestDebugfsJournal replays logs that debugfs writes: checksums of version 2
// among them, which no kernel writes any more.
func TestDebugfsJournal(t *testing.T) {
	for _, version := range []string{"1", "2", "3"} {
		image := mkfsRow{args: "-t ext4 -b 1024"}.mkfs(t)
		content := filepath.Join(t.TempDir(), "content")
		os.WriteFile(content, append([]byte("\xc0\x3b\x39\x98"), bytes.Repeat([]byte("x"), 3*1024-4)...), 0o600)
		script := filepath.Join(t.TempDir(), "script")
		os.WriteFile(script, []byte("jo -c -v "+version+"\njw -b 20000-20002 "+content+"\njw -b 20010-20012 "+content+
			"\njw -r 20010-20011\njc\n"), 0o600)
		testtool.Run(t, "debugfs", "-w", "-f", script, image)
		overlay := fsedittest.OpenWritable(t, image)
		if v := open(t, overlay); !v.Info().Replayed {
			t.Fatalf("version %s: not replayed", version)
		}
		testtool.Try(t, "e2fsck", "-fy", "-E", "journal_only", image)
		theirs := fsedittest.OpenImage(t, image)
		for _, nr := range []int64{20000, 20001, 20002, 20010, 20011, 20012} {
			var a, b [1024]byte
			overlay.ReadAt(a[:], nr*1024)
			theirs.ReadAt(b[:], nr*1024)
			if a != b {
				t.Errorf("version %s: block %d differs from e2fsck's replay", version, nr)
			}
			if nr == 20002 && a == [1024]byte{} {
				t.Errorf("version %s: block %d was not written", version, nr)
			}
		}
	}
}
