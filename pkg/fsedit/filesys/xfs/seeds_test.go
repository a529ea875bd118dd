//go:build linux

package xfs

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

var makeSeeds = flag.Bool("make-seeds", false, "make testdata anew")

// TestMakeSeeds makes the small filesystems that the fuzzer starts from; see
// testdata/README.
func TestMakeSeeds(t *testing.T) {
	if !*makeSeeds {
		return
	}
	for name, args := range map[string]string{
		"v5":    "-d agcount=1 -b size=1024 -m rmapbt=1",
		"v5-4k": "-d agcount=1 -i nrext64=1 -m bigtime=0",
		"dirty": "-d agcount=1 -b size=1024",
	} {
		row := mkfsRow{args: args, size: 16}
		if name == "v5-4k" {
			row.size = 40
		}
		image := row.mkfs(t)
		dir, unmount := fsedittest.Mount(t, image, "")
		seedTree(t, dir)
		if name == "dirty" {
			testtool.Run(t, "xfs_io", "-x", "-c", "shutdown -f", dir)
		}
		unmount()
		pack(t, image, name)
	}
	folder := t.TempDir()
	proto, _ := protoTree(t, folder)
	image := mkfsRow{args: "-m crc=0 -n ftype=0 -d agcount=1 -b size=1024 -p " + proto, size: 16}.mkfs(t)
	attributes(t, image)
	pack(t, image, "v4")
}

// seedTree is a little of everything.
func seedTree(t *testing.T, dir string) {
	path := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{2, 30, 600} {
		must(os.Mkdir(path(fmt.Sprint(n)), 0o755))
		for i := range n {
			must(os.Symlink("x", path(fmt.Sprintf("%d/name-%d-%s", n, i, strings.Repeat("n", i%30)))))
		}
	}
	for i := 0; i < 600; i += 3 {
		must(os.Remove(path(fmt.Sprintf("600/name-%d-%s", i, strings.Repeat("n", i%30)))))
	}
	f, err := os.Create(path("fragmented"))
	must(err)
	for i := range int64(300) {
		_, err := f.WriteAt([]byte("part"), i*8192)
		must(err)
	}
	must(f.Close())
	must(os.Symlink(strings.Repeat("t", 900), path("long")))
	must(os.WriteFile(path("file"), bytes.Repeat([]byte("content "), 1000), 0o644))
	for i, n := range []int{5, 200, 3000, 20000} {
		testtool.Run(t, "setfattr", "-n", fmt.Sprintf("user.a%d", i), "-v", strings.Repeat("v", n), path("file"))
	}
	for i := range 60 {
		testtool.Run(t, "setfattr", "-n", fmt.Sprintf("user.many%d", i), "-v", strings.Repeat("v", 20+i), path("fragmented"))
	}
	testtool.Run(t, "setfacl", "-m", "u:1000:r", path("file"))
}

func pack(t *testing.T, image, name string) {
	raw, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, 9)
	z.Write(raw)
	z.Close()
	if err := os.WriteFile(filepath.Join("testdata", name+".img.gz"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
