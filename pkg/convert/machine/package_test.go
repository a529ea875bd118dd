package machine_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestOVA opens packages in the forms that producers give them.
func TestOVA(t *testing.T) {
	first, second := diskContent(1), diskContent(2)
	vmdk, vmdk2 := file{"d1.vmdk", vmdkOf(t, first)}, file{"d2.vmdk", vmdkOf(t, second)}
	ovf := file{"web.ovf", descriptor("d1.vmdk", "d2.vmdk")}
	mf := func(algorithm string) file { return file{"web.mf", manifest(algorithm, ovf, vmdk, vmdk2)} }
	escaped := file{"web.ovf", descriptor("d%201.vmdk", "d2.vmdk")}
	for name, c := range map[string]struct {
		files    []file
		verified int
	}{
		"canonical":          {[]file{ovf, mf("SHA256"), vmdk, vmdk2}, 3},
		"manifest last":      {[]file{ovf, vmdk2, vmdk, mf("SHA1")}, 3},
		"manifest first":     {[]file{mf("SHA512"), vmdk, ovf, vmdk2}, 3},
		"manifest in blanks": {[]file{ovf, vmdk, vmdk2, {"web.mf", bytes.ReplaceAll(bytes.ReplaceAll(mf("SHA256").data, []byte("("), []byte(" (")), []byte("\n"), []byte("\r\n"))}}, 3},
		"no manifest":        {[]file{ovf, vmdk, vmdk2}, 0},
		"names from ./":      {[]file{{"./web.ovf", ovf.data}, {"./web.mf", mf("SHA1").data}, {"./d1.vmdk", vmdk.data}, {"./d2.vmdk", vmdk2.data}}, 3},
		"in a folder":        {[]file{{"web/web.ovf", ovf.data}, {"web/web.mf", mf("SHA1").data}, {"web/d1.vmdk", vmdk.data}, {"web/d2.vmdk", vmdk2.data}}, 3},
		"names as in URIs":   {[]file{escaped, {"d 1.vmdk", vmdk.data}, vmdk2}, 0},
		"certificate":        {[]file{ovf, mf("SHA256"), {"web.cert", []byte("SHA256(web.mf)= 00")}, vmdk, vmdk2}, 3},
		"another manifest":   {[]file{ovf, {"a.mf", []byte("SHA1(x)= 00")}, mf("SHA256"), vmdk, vmdk2}, 3},
	} {
		for _, format := range []tar.Format{tar.FormatUSTAR, tar.FormatPAX, tar.FormatGNU} {
			t.Run(name+" "+format.String(), func(t *testing.T) {
				m := mustOpen(t, "x.ova", archive(t, format, c.files...))
				wantDisks(t, m, first, second)
				v, err := m.Verify(t.Context(), ondisk.Limits{})
				if err != nil || v.Files != c.verified || len(v.Absent) > 0 {
					t.Errorf("verified %+v: %v", v, err)
				}
				if m.VM.Name != "web" || len(m.Warnings) > 0 {
					t.Errorf("%q, warnings %q", m.VM.Name, m.Warnings)
				}
			})
		}
	}
}

// TestManifest refuses a package whose bytes are not those that were packed.
func TestManifest(t *testing.T) {
	ovf, disk := file{"web.ovf", descriptor("d.img")}, file{"d.img", diskContent(1)}
	good := manifest("SHA256", ovf, disk)
	other := file{"d.img", diskContent(2)}
	for name, c := range map[string]struct {
		manifest []byte
		disk     file
		is       error
		absent   int
	}{
		"another disk":      {good, other, ondisk.ErrCorrupt, 0},
		"two digests":       {append(good, manifest("SHA256", other)...), disk, ondisk.ErrCorrupt, 0},
		"the same twice":    {append(good, good...), disk, nil, 0},
		"two algorithms":    {append(good, manifest("SHA1", disk)...), disk, nil, 0},
		"a file is missing": {append(good, manifest("SHA1", file{"x.iso", nil})...), disk, nil, 1},
		"unknown algorithm": {[]byte("MD5(d.img)= 00\n"), disk, ondisk.ErrUnsupported, 0},
		"no manifest":       {[]byte("hello\n"), disk, ondisk.ErrCorrupt, 0},
	} {
		m := mustOpen(t, "x.ova", archive(t, tar.FormatUSTAR, ovf, file{"web.mf", c.manifest}, c.disk))
		wantDisks(t, m, c.disk.data) // looking at it is allowed all the same
		v, err := m.Verify(t.Context(), ondisk.Limits{})
		if !errors.Is(err, c.is) || (err == nil) != (c.is == nil) || len(v.Absent) != c.absent {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

// TestPackedMember: a member may be packed, and its content is not looked at for
// a second wrapper, which the guest may have written.
func TestPackedMember(t *testing.T) {
	content := diskContent(1)
	vmdk := vmdkOf(t, content)
	ovf := file{"web.ovf", descriptor(`d.vmdk.gz" ovf:compression="gzip`)}
	m := mustOpen(t, "x.ova", archive(t, tar.FormatUSTAR, ovf, file{"d.vmdk.gz", gzipped(t, vmdk)}))
	wantDisks(t, m, content)

	o := options()
	o.Unpack = nil
	src := imagefmttest.NewSource("x.ova", archive(t, tar.FormatUSTAR, ovf, file{"d.vmdk.gz", gzipped(t, vmdk)}))
	if _, err := openSource(t, src, o); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("without an unpacker: %v", err)
	}
}

// TestParts: a file that was cut is one file.
func TestParts(t *testing.T) {
	content := diskContent(1)
	vmdk := vmdkOf(t, content)
	const chunk = 100_000
	var parts []file
	for i := 0; i*chunk < len(vmdk); i++ {
		parts = append(parts, file{fmt.Sprintf("d.vmdk.%09d", i), vmdk[i*chunk : min(len(vmdk), (i+1)*chunk)]})
	}
	ovf := file{"web.ovf", bytes.Replace(descriptor("d.vmdk"), []byte("<File "), []byte(`<File ovf:size="`+strconv.Itoa(len(vmdk))+`" ovf:chunkSize="100000" `), 1)}
	m := mustOpen(t, "x.ova", archive(t, tar.FormatUSTAR, append([]file{ovf}, parts...)...))
	wantDisks(t, m, content)
	if len(m.Disks[0].Files) != len(parts) {
		t.Errorf("%d files of %d parts", len(m.Disks[0].Files), len(parts))
	}
	if _, err := open(t, "x.ova", archive(t, tar.FormatUSTAR, append([]file{ovf}, parts[1:]...)...)); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("a part is missing: %v", err)
	}
	parts[1].data = parts[1].data[1:]
	if _, err := open(t, "x.ova", archive(t, tar.FormatUSTAR, append([]file{ovf}, parts...)...)); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("a part is shorter: %v", err)
	}
}

// TestLargeMember: sizes from 8 GiB need another notation, of which there are two.
func TestLargeMember(t *testing.T) {
	const size = 9 << 30
	for _, format := range []tar.Format{tar.FormatPAX, tar.FormatGNU} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		ovf := descriptor("d.img")
		for _, err := range []error{
			w.WriteHeader(&tar.Header{Name: "web.ovf", Size: int64(len(ovf)), Format: format}), second(w.Write(ovf)),
			w.WriteHeader(&tar.Header{Name: "d.img", Size: size, Format: format}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		src := imagefmttest.NewSource("x.ova", b.Bytes())
		if err := src.Truncate(int64(b.Len()) + size); err != nil {
			t.Fatal(err)
		}
		if _, err := src.WriteAt([]byte("the end"), src.Size()-7); err != nil {
			t.Fatal(err)
		}
		m, err := openSource(t, src, options())
		if err != nil {
			t.Fatal(err)
		}
		end := make([]byte, 7)
		if _, err := m.Disks[0].Image.ReadAt(end, size-7); err != nil && err != io.EOF || string(end) != "the end" {
			t.Errorf("%v: %q, %v", format, end, err)
		}
	}
}

func second(_ int, err error) error { return err }

// TestUnpacked: a package that was unpacked is its descriptor with files beside.
func TestUnpacked(t *testing.T) {
	dir, content := t.TempDir(), diskContent(1)
	ovf, vmdk := file{"web.ovf", descriptor("web disk.vmdk")}, file{"web disk.vmdk", vmdkOf(t, content)}
	for _, f := range []file{ovf, vmdk, {"web.mf", manifest("SHA256", ovf, vmdk)}} {
		write(t, filepath.Join(dir, f.name), f.data)
	}
	m, err := openHost(t, filepath.Join(dir, "web.ovf"), osfile.SameDir)
	if err != nil {
		t.Fatal(err)
	}
	wantDisks(t, m, content)
	if v, err := m.Verify(t.Context(), ondisk.Limits{}); err != nil || v.Files != 2 {
		t.Errorf("%+v, %v", v, err)
	}
	testtool.Run(t, "tar", "-C", dir, "-cf", filepath.Join(dir, "x.ova"), "web.ovf", "web.mf", "web disk.vmdk")
	m, err = openHost(t, filepath.Join(dir, "x.ova"), osfile.SameDir)
	if err != nil {
		t.Fatal(err)
	}
	wantDisks(t, m, content)
	if err := os.Remove(filepath.Join(dir, "web disk.vmdk")); err != nil {
		t.Fatal(err)
	}
	if _, err = openHost(t, filepath.Join(dir, "web.ovf"), osfile.SameDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its disk: %v", err)
	}
}

// TestSystems: of several machines one has to be chosen.
func TestSystems(t *testing.T) {
	a, b := diskContent(1), diskContent(2)
	ovf := envelope("<VirtualSystemCollection>"+virtualSystem("app", 1, 1)+virtualSystem("db", 2, 1)+"</VirtualSystemCollection>", "a.img", "b.img")
	content := archive(t, tar.FormatUSTAR, file{"two.ovf", ovf}, file{"a.img", a}, file{"b.img", b})
	if _, err := open(t, "x.ova", content); !errors.Is(err, ondisk.ErrAmbiguous) {
		t.Errorf("none is chosen: %v", err)
	}
	o := options()
	o.Name = "web"
	if _, err := openSource(t, imagefmttest.NewSource("x.ova", content), o); !errors.Is(err, ondisk.ErrAmbiguous) {
		t.Errorf("one that is not there: %v", err)
	}
	o.Name = "db"
	m, err := openSource(t, imagefmttest.NewSource("x.ova", content), o)
	if err != nil {
		t.Fatal(err)
	}
	wantDisks(t, m, b)
}

// TestBlankDisk: a disk without a file is made.
func TestBlankDisk(t *testing.T) {
	content := diskContent(1)
	m := mustOpen(t, "x.ova", archive(t, tar.FormatUSTAR, file{"web.ovf", descriptor("a.img", "")}, file{"a.img", content}))
	wantDisks(t, m, content, make([]byte, 1<<20))
	unknown := bytes.ReplaceAll(descriptor("a.img", ""), []byte("ovf:capacity="), []byte("capacities="))
	m = mustOpen(t, "x.ova", archive(t, tar.FormatUSTAR, file{"web.ovf", unknown}, file{"a.img", content}))
	wantDisks(t, m, content)
	if len(m.Warnings) == 0 {
		t.Error("nobody hears of the blank disk of unknown size")
	}
	huge := bytes.ReplaceAll(descriptor("a.img", ""), []byte("2^20"), []byte("2^50"))
	if _, err := open(t, "x.ova", archive(t, tar.FormatUSTAR, file{"web.ovf", huge}, file{"a.img", content})); !errors.Is(err, ondisk.ErrTooBig) {
		t.Errorf("a blank disk of 1 PiB: %v", err)
	}
}
