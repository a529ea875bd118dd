package xva

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/tarfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

var never0 = time.Unix(0, 0)

func member(name string, size, off int64) tarfile.Member {
	return tarfile.Member{Name: name, Size: size, Off: off}
}

// writeDisk writes a disk in pieces of odd lengths, zeros left out here and there.
func writeDisk(t *testing.T, w imagefmt.Writer, disk []byte) {
	t.Helper()
	for off, n := 0, 0; off < len(disk); off += n {
		n = min(len(disk)-off, 300_000+off%7_000)
		p := disk[off : off+n]
		if ondisk.IsZero(p) {
			continue
		}
		if _, err := w.WriteAt(p, int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, path string) *osfile.Output {
	t.Helper()
	out, err := osfile.Create(path, osfile.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestXvaImgReads: xva-img exports the disk that went in, xxhsum agrees with
// every checksum, xmllint with the description. xva-img 1.4.2 wants SHA-1, so it
// gets that beside the chunks.
func TestXvaImgReads(t *testing.T) {
	testtool.Need(t, "tar", "xva-img", "xxhsum", "sha1sum", "xmllint")
	dir := t.TempDir()
	path := filepath.Join(dir, "x.xva")
	disk := join(pattern(chunkSize, 1), nil, pattern(chunkSize, 2), nil, nil, pattern(300*1024, 3), make([]byte, 100*1024+512))
	out := create(t, path)
	w, err := Format{}.Create(t.Context(), out, int64(len(disk)), imagefmt.CreateOptions{Values: map[string]string{"name": "a<b> & \"c\""}})
	if err != nil {
		t.Fatal(err)
	}
	writeDisk(t, w, disk)
	if err := out.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}

	list := strings.Fields(testtool.Run(t, "tar", "tf", path))
	want := []string{"ova.xml"}
	for _, n := range []int{0, 2, 5} {
		want = append(want, fmt.Sprintf("Ref:1/%08d", n), fmt.Sprintf("Ref:1/%08d.xxhash", n))
	}
	if !slices.Equal(list, want) {
		t.Errorf("tar lists %v", list)
	}
	testtool.Run(t, "tar", "xf", path, "-C", dir)
	testtool.Run(t, "xmllint", "--noout", filepath.Join(dir, "ova.xml"))
	if label := testtool.Run(t, "xmllint", "--xpath", "string(//member[name='name_label']/value)", filepath.Join(dir, "ova.xml")); strings.TrimSpace(label) == "" {
		t.Error("no name in ova.xml")
	}
	for _, n := range []int{0, 2, 5} {
		name := filepath.Join(dir, fmt.Sprintf("Ref:1/%08d", n))
		sum, _ := os.ReadFile(name + ".xxhash")
		got := strings.Fields(testtool.Run(t, "xxhsum", "-H1", name))
		if strings.ToUpper(got[0]) != string(sum) {
			t.Errorf("xxhsum of chunk %d is %s, the archive has %s", n, got[0], sum)
		}
		sha := strings.Fields(testtool.Run(t, "sha1sum", name))[0]
		if err := os.WriteFile(name+".checksum", []byte(sha), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw := filepath.Join(dir, "disk.raw")
	testtool.Run(t, "xva-img", "-p", "disk-export", filepath.Join(dir, "Ref:1")+"/", raw)
	got, err := os.ReadFile(raw)
	if err != nil || !bytes.Equal(got, disk) {
		t.Errorf("xva-img exports %d bytes, %v", len(got), err)
	}
	src, err := osfile.Open(path, osfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	img, err := Format{}.Open(t.Context(), src, imagefmt.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	imagefmttest.Device(t, img, disk)
}

// TestXvaImgWrites: we read what xva-img packs: SHA-1, headers of the old kind.
func TestXvaImgWrites(t *testing.T) {
	testtool.Need(t, "xva-img", "sha1sum")
	dir := t.TempDir()
	disk := join(pattern(chunkSize, 1), pattern(chunkSize, 2), nil, nil, pattern(chunkSize, 3), nil)
	raw, chunks, ova := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "Ref:4")+"/", filepath.Join(dir, "ova.xml")
	for _, err := range []error{
		os.WriteFile(raw, disk, 0o644), os.Mkdir(chunks, 0o755), os.WriteFile(ova, []byte(oneDisk(int64(len(disk)))), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	testtool.Run(t, "xva-img", "-p", "disk-import", chunks, raw)
	sum, _ := os.ReadFile(chunks + "00000001.checksum")
	if got := strings.Fields(testtool.Run(t, "sha1sum", chunks+"00000001")); got[0] != string(sum) {
		t.Errorf("sha1sum %s, xva-img %s", got[0], sum)
	}
	path := filepath.Join(dir, "x.xva")
	testtool.Run(t, "xva-img", "-p", "package", path, ova, chunks)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := (Format{}).Probe(imagefmttest.NewSource("x", content)); m != ondisk.Sure || err != nil {
		t.Errorf("Probe: %v, %v", m, err)
	}
	img := mustOpen(t, content)
	imagefmttest.Device(t, img, disk)
	if f := img.Info().Features; !slices.Equal(f, []string{"checksum"}) {
		t.Errorf("features %v", f)
	}
}

func machine() Description {
	return Description{
		Name: "web 01", Text: "two\nlines", Memory: 3 << 30, VCPUs: 4, HVM: true, Firmware: "uefi", SecureBoot: true, BootOrder: "dc",
		Platform: map[string]string{"cores-per-socket": "2"},
		Disks: []Disk{
			{Name: "system", Size: 3*chunkSize + 100, Bootable: true}, {Name: "data", Size: 700},
			{Size: 5 * chunkSize, ReadOnly: true}, {Size: 0},
		},
		NICs: []NIC{{MAC: "0a:00:00:00:00:01", Network: "LAN"}, {Bridge: "xenbr7"}},
	}
}

func machineDisks() [][]byte {
	return [][]byte{
		join(pattern(chunkSize, 1), nil, pattern(2*chunkSize, 2))[:3*chunkSize+512],
		pattern(1024, 3), join(nil, nil, nil, nil, nil), nil,
	}
}

func writeMachine(t *testing.T, sink imagefmt.Sink, d Description, disks [][]byte) {
	t.Helper()
	w, err := NewWriter(t.Context(), sink, d, WriterOptions{Now: func() time.Time { return time.Unix(86400, 5) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, disk := range disks {
		dw, err := w.Disk()
		if err != nil {
			t.Fatal(err)
		}
		writeDisk(t, dw, disk)
	}
	if err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestMachine: several disks, to a pipe, come back with their description;
// references ascend as text.
func TestMachine(t *testing.T) {
	pipe := imagefmttest.NewSink("x.xva")
	pipe.Pipe = true
	writeMachine(t, pipe, machine(), machineDisks())
	plain := imagefmttest.NewSink("x.xva")
	writeMachine(t, plain, machine(), machineDisks())
	if !bytes.Equal(pipe.File().Bytes(), plain.File().Bytes()) {
		t.Error("a pipe gets other bytes than a file")
	}
	a, err := Index(t.Context(), pipe.File(), ondisk.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	d := a.Description
	if d.Name != "web 01" || d.Text != "two\nlines" || d.Memory != 3<<30 || d.VCPUs != 4 || !d.HVM || d.Firmware != "uefi" ||
		!d.SecureBoot || d.BootOrder != "dc" || d.Platform["cores-per-socket"] != "2" || len(d.UUID) != 36 {
		t.Errorf("description %+v", d)
	}
	if len(d.NICs) != 2 || d.NICs[0].MAC != "0a:00:00:00:00:01" || d.NICs[0].Network != "LAN" || d.NICs[0].Bridge != "xenbr0" || d.NICs[1].Bridge != "xenbr7" {
		t.Errorf("network cards %+v", d.NICs)
	}
	for i, want := range machineDisks() {
		disk := d.Disks[i]
		img, err := a.Disk(t.Context(), disk.Ref)
		if err != nil {
			t.Fatal(err)
		}
		imagefmttest.Device(t, img, want)
		if disk.Ref != fmt.Sprintf("Ref:%02d", i+1) || disk.Bootable != (i == 0) || disk.ReadOnly != (i == 2) {
			t.Errorf("disk %d: %+v", i, disk)
		}
	}
	if d.Disks[0].Name != "system" || d.Disks[2].Name != "web 01" {
		t.Errorf("disks %+v", d.Disks)
	}
	other := machine()
	other.Name, other.HVM, other.Firmware, other.SecureBoot, other.PVBootloader = "pv", false, "", false, "pygrub"
	again := imagefmttest.NewSink("y")
	writeMachine(t, again, other, machineDisks())
	if a, err = Index(t.Context(), again.File(), ondisk.Limits{}); err != nil || a.Description.HVM || a.Description.PVBootloader != "pygrub" {
		t.Errorf("paravirtual: %+v, %v", a.Description, err)
	}
}

// TestSmallFirstDisk: xapi takes the first chunk's length for that of all gaps,
// so there are none behind a disk that is smaller than a chunk.
func TestSmallFirstDisk(t *testing.T) {
	d := Description{Name: "x", Disks: []Disk{{Size: 512}, {Size: 5 * chunkSize}}}
	sink := imagefmttest.NewSink("x")
	disks := [][]byte{pattern(512, 1), join(nil, nil, pattern(chunkSize, 2), nil, nil)}
	writeMachine(t, sink, d, disks)
	got := ""
	for m, err := range tarfile.Walk(t.Context(), sink.File(), ondisk.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		if name, ok := parseName(m.Name); ok && name.sum == noSum {
			got += " " + m.Name
		}
	}
	if want := " Ref:1/00000000 Ref:2/00000000 Ref:2/00000001 Ref:2/00000002 Ref:2/00000003 Ref:2/00000004"; got != want {
		t.Errorf("chunks%s", got)
	}
}

// TestMistakes of the caller are told.
func TestMistakes(t *testing.T) {
	ctx := context.Background()
	for _, values := range []map[string]string{{"memory": "0"}, {"memory": "1G"}, {"vcpus": "-1"}, {"firmware": "acpi"}, {"x": "y"}} {
		_, err := Format{}.Create(ctx, imagefmttest.NewSink("x"), 1, imagefmt.CreateOptions{Values: values})
		if !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("%v: %v", values, err)
		}
	}
	if _, err := (Format{}).Create(ctx, imagefmttest.NewSink("x"), 1<<60, imagefmt.CreateOptions{}); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("a disk with too many chunks: %v", err)
	}
	w, err := NewWriter(ctx, imagefmttest.NewSink("x"), machine(), WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(ctx); err == nil {
		t.Error("Finish without disks")
	}
	disk, err := w.Disk()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Disk(); err == nil {
		t.Error("two disks at once")
	}
	if err := disk.Abort(); err != nil {
		t.Error(err)
	}
	if err := w.Finish(ctx); err == nil {
		t.Error("Finish after a disk was given up")
	}
	if _, err := w.Disk(); err == nil {
		t.Error("a disk after one was given up")
	}
}
