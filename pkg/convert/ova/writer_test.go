package ova_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/convert/ova"
	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
	"github.com/vmconv/vmconv/pkg/imagefmt/vmdk"
)

const diskSize = 3 << 20

func web(disks int) vmdef.VM {
	vm := vmdef.VM{Name: "web", Memory: 1 << 30, CPUs: vmdef.CPUs{Count: 2}, Firmware: "efi", NICs: []vmdef.NIC{{Model: "e1000", MAC: "00:0c:29:00:00:01"}}}
	for i := range disks {
		vm.Disks = append(vm.Disks, vmdef.Disk{
			Place: vmdef.Place{Bus: "sata", Model: "ahci", Unit: i}, File: fmt.Sprintf("web-disk%d.vmdk", i+1), Size: diskSize,
		})
	}
	return vm
}

// content is 1 MiB of data behind 1 MiB of zeros.
func content(disk int) []byte {
	p := make([]byte, diskSize)
	copy(p[1<<20:], imagefmttest.Pattern(0, 1<<20, uint64(disk)))
	return p
}

// writeDisk writes disk i as the VMDK that an OVA holds.
func writeDisk(t testing.TB, w *ova.Writer, i int) error {
	t.Helper()
	member, err := w.Disk(i)
	if err != nil {
		return err
	}
	w.SetPopulated(i, 1<<20)
	img, err := vmdk.Format{}.Create(t.Context(), member, diskSize, imagefmt.CreateOptions{Compress: true, Values: map[string]string{"subformat": "streamOptimized"}})
	if err != nil {
		return err
	}
	if _, err := img.WriteAt(content(i)[1<<20:2<<20], 1<<20); err != nil {
		return err
	}
	return img.Finish(t.Context())
}

// pack writes a package of two disks to a file of the host.
func pack(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "web.ova")
	set := osfile.NewSet()
	sink, err := set.Create(path, osfile.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := ova.NewWriter(sink, "web", web(2), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{writeDisk(t, w, 0), writeDisk(t, w, 1), w.Finish(t.Context()), set.Commit(t.Context())} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// TestPackage lets others read what is written.
func TestPackage(t *testing.T) {
	testtool.Need(t, "tar", "7zz", "xmllint", "sha256sum", "qemu-img", "virt-v2v")
	path := pack(t)
	dir := filepath.Dir(path)
	if got := strings.Fields(testtool.Run(t, "tar", "-tf", path)); fmt.Sprint(got) != "[web.ovf web.mf web-disk1.vmdk web-disk2.vmdk]" {
		t.Errorf("members %v", got)
	}
	testtool.Run(t, "tar", "-C", dir, "-xf", path)
	testtool.Run(t, "7zz", "t", path)
	testtool.Run(t, "xmllint", "--noout", filepath.Join(dir, "web.ovf"))
	testtool.Run(t, "sh", "-c", `cd "$1" && sed 's/^SHA256(\(.*\))= \(.*\)/\2  \1/' web.mf | sha256sum -c --strict`, "sh", dir)
	for i := range 2 {
		raw := filepath.Join(dir, fmt.Sprintf("raw%d", i))
		testtool.Run(t, "qemu-img", "convert", "-O", "raw", filepath.Join(dir, fmt.Sprintf("web-disk%d.vmdk", i+1)), raw)
		if !bytes.Equal(readFile(t, raw), content(i)) {
			t.Errorf("disk %d has other bytes", i)
		}
	}
	said := testtool.Run(t, "virt-v2v", "-i", "ova", path, "--print-source")
	for _, want := range []string{"source name: web", "memory: 1073741824", "nr vCPUs: 2", "firmware: uefi", "0 [sata]", "1 [sata]", "00:0c:29:00:00:01 [e1000]"} {
		if !strings.Contains(said, want) {
			t.Errorf("virt-v2v says nothing of %q:\n%s", want, said)
		}
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	src, err := osfile.Open(path, osfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	p := make([]byte, src.Size())
	if err := ondisk.Full(src, p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestHeaders: importers stop at what is newer than ustar, and at blocks that are
// not full.
func TestHeaders(t *testing.T) {
	raw := readFile(t, pack(t))
	r := tar.NewReader(bytes.NewReader(raw))
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Format&tar.FormatUSTAR == 0 || len(h.PAXRecords) > 0 || h.Mode != 0o644 || h.Uid != 0 {
			t.Errorf("%s: %v, mode %o, owner %d", h.Name, h.Format, h.Mode, h.Uid)
		}
	}
	if len(raw)%512 != 0 || !bytes.Equal(raw[len(raw)-1024:], make([]byte, 1024)) {
		t.Errorf("%d bytes do not end in two blocks of zeros", len(raw))
	}
	if !bytes.Equal(raw, readFile(t, pack(t))) {
		t.Error("the same machine gave other bytes")
	}
}

// TestDescriptorSizes: the descriptor tells the sizes that the files turned out
// to have, and its slot is filled up with blanks, which XML allows there.
func TestDescriptorSizes(t *testing.T) {
	path := pack(t)
	text := testtool.Run(t, "tar", "-xOf", path, "web.ovf")
	e, _, err := vmdef.ParseOVF([]byte(text), ondisk.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range e.Systems[0].Disks {
		if size := len(testtool.Run(t, "tar", "-xOf", path, d.File)); d.FileSize != int64(size) || d.Size != diskSize || d.Populated != 1<<20 {
			t.Errorf("%+v, and the file has %d bytes", d, size)
		}
	}
	if end := strings.TrimRight(text, "\n"); !strings.HasSuffix(end, "</Envelope>") || len(end) == len(text) {
		t.Errorf("the descriptor ends in %q", text[len(text)-20:])
	}
}

// TestOrder: mistakes of the caller are errors, and so is a pipe.
func TestOrder(t *testing.T) {
	newWriter := func() *ova.Writer {
		w, err := ova.NewWriter(imagefmttest.NewSink("web.ova"), "web", web(2), nil)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	if _, err := newWriter().Disk(1); err == nil {
		t.Error("the second disk came first")
	}
	w := newWriter()
	if err := writeDisk(t, w, 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(t.Context()); err == nil {
		t.Error("a package without its second disk was finished")
	}
	w = newWriter()
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := writeDisk(t, w, 0); err == nil {
		t.Error("a disk was written to a package that was given up")
	}
	vm := web(1)
	vm.Disks[0].File = "../disk.vmdk"
	if _, err := ova.NewWriter(imagefmttest.NewSink("web.ova"), "web", vm, nil); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("a member of another folder: %v", err)
	}
	pipe := imagefmttest.NewSink("web.ova")
	pipe.Pipe = true
	if _, err := ova.NewWriter(pipe, "web", web(1), nil); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("a pipe: %v", err)
	}
}
