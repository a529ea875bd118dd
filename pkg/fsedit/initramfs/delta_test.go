package initramfs

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

func delta(t testing.TB, base []byte, opts DeltaOptions) []byte {
	t.Helper()
	m, err := ReadBase(bytes.NewReader(base), int64(len(base)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := m.NewDelta(opts)
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string]string{"lib/modules/6.1/kernel/new.ko": "module", "etc/x": "new", "conf/modules": "virtio_blk\n"} {
		if err := d.Add(path, 0o644, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := d.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.Clone(base[:d.Base()]), p...)
}

func merged() []string {
	return []string{"init", "i", "usr/lib/modules/6.1/old.ko", "o", "lib", "-> usr/lib", "etc/x", "old", "conf/modules", "# none\n"}
}

func TestDelta(t *testing.T) {
	archive := pack(t, tree(t, merged()...))
	for method := range compressors {
		for _, lz4 := range []bool{false, true} {
			base := compress(t, method, archive)
			file := delta(t, base, DeltaOptions{LZ4: lz4})
			if !bytes.HasPrefix(file, base) {
				t.Fatal("the base changed")
			}
			m := read(t, file, Options{})
			own, ok := m.OwnSegment()
			if !ok || own.Off != int64(len(base)) {
				t.Fatalf("%s %v: %+v %v %+v", method, lz4, own, ok, m.Segments())
			}
			for path, want := range map[string]string{"usr/lib/modules/6.1/kernel/new.ko": "module", "etc/x": "new", "conf/modules": "virtio_blk\n", "lib/modules/6.1/old.ko": "o"} {
				if got := content(t, m, path); got != want {
					t.Errorf("%s %v: %s: %q", method, lz4, path, got)
				}
			}
			if e, _ := m.Lstat("lib"); !e.IsSymlink() {
				t.Error("lib is no longer a link")
			}
			if again := delta(t, file, DeltaOptions{LZ4: lz4}); !bytes.Equal(again, file) {
				t.Errorf("%s %v: done twice it differs", method, lz4)
			}
		}
	}
}

// TestForeignToolsUnpackDelta gives the segment to GNU cpio, on top of the base,
// and the lz4 one to lz4 as one stream, as an old kernel sees it.
func TestForeignToolsUnpackDelta(t *testing.T) {
	testtool.Need(t, "cpio", "lz4")
	root := tree(t, merged()...)
	archive := pack(t, root)
	file := delta(t, archive, DeltaOptions{})
	if len(archive)%4 != 0 {
		t.Fatal("GNU cpio pads")
	}
	unpack(t, root, file[len(archive):])

	other := tree(t, merged()...)
	end := len(bytes.TrimRight(archive, "\x00")) + 4
	base := compress(t, LZ4, archive[:end|3]) // a length that is no multiple of 4
	stream := pipe(t, delta(t, base, DeltaOptions{LZ4: true}), "lz4", "-dcq")
	at := bytes.LastIndex(stream, []byte("TRAILER!!!"))
	begin := bytes.LastIndex(stream[:at], []byte("etc/vmconv-release")) - 110
	if begin%4 != 0 || string(stream[begin:begin+6]) != "070701" {
		t.Fatalf("an archive at %d of the stream", begin)
	}
	unpack(t, other, stream[begin:])
}

func unpack(t *testing.T, root string, segment []byte) {
	t.Helper()
	cmd := exec.Command("cpio", "-idu", "--quiet")
	cmd.Dir, cmd.Stdin = root, bytes.NewReader(segment)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%v %s", err, out)
	}
	for path, want := range map[string]string{"usr/lib/modules/6.1/kernel/new.ko": "module", "etc/x": "new", "lib/modules/6.1/old.ko": "o"} {
		if got, err := os.ReadFile(filepath.Join(root, path)); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", path, got, err)
		}
	}
	list := pipe(t, segment, "cpio", "-it", "--quiet")
	if want := "etc/vmconv-release\nconf/modules\netc/x\nusr/lib/modules/6.1/kernel\nusr/lib/modules/6.1/kernel/new.ko\n"; string(list) != want {
		t.Errorf("entries:\n%s", list)
	}
}

func TestDeltaRefuses(t *testing.T) {
	base := slices.Concat(pack(t, tree(t, "d/x", "", "f", "")), entries(t, "null", 0o020666, ""))
	d, err := read(t, base, Options{}).NewDelta(DeltaOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"d", "f/below", "null", "", "dev"} {
		if err := d.Add(path, 0o644, nil); !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("%q: %v", path, err)
		}
	}
	if err := d.Add("new/f", 0o644, nil); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"new", "new/f/g"} {
		if err := d.Add(path, 0o644, nil); !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("%q: %v", path, err)
		}
	}
	if _, err := read(t, delta(t, base, DeltaOptions{}), Options{}).NewDelta(DeltaOptions{}); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Error("a second segment:", err)
	}
}

// TestDeltaOfHardLinks: a file that the base has under two names, as dracut makes
// them of equal ones, is changed under one; for GNU cpio and for us.
func TestDeltaOfHardLinks(t *testing.T) {
	root := tree(t, "etc/a", "same")
	if err := os.Link(filepath.Join(root, "etc/a"), filepath.Join(root, "etc/b")); err != nil {
		t.Fatal(err)
	}
	base := pack(t, root)
	d, err := read(t, base, Options{}).NewDelta(DeltaOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Add("etc/b", 0o644, []byte("new")); err != nil {
		t.Fatal(err)
	}
	p, err := d.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	m := read(t, append(bytes.Clone(base), p...), Options{})
	other := t.TempDir()
	for _, archive := range [][]byte{base, p} {
		cmd := exec.Command("cpio", "-idu", "--quiet")
		cmd.Dir, cmd.Stdin = other, bytes.NewReader(bytes.TrimLeft(archive, "\x00"))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("%v %s", err, out)
		}
	}
	for path, want := range map[string]string{"etc/a": "same", "etc/b": "new"} {
		if got := content(t, m, path); got != want {
			t.Errorf("%s: %q", path, got)
		}
		if got, err := os.ReadFile(filepath.Join(other, path)); err != nil || string(got) != want {
			t.Errorf("cpio: %s: %q %v", path, got, err)
		}
		if e, _ := m.Lstat(path); !e.IsRegular() {
			t.Errorf("%s is no file", path)
		}
	}
}

func TestChangedBaseIsNotReplaced(t *testing.T) {
	base := pack(t, tree(t, "etc/y", "content"))
	file := delta(t, base, DeltaOptions{})
	file[bytes.Index(file, []byte("content"))] = 'C'
	if _, err := ReadBase(bytes.NewReader(file), int64(len(file)), Options{}); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Fatal(err)
	}
}
