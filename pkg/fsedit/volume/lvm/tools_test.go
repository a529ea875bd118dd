package lvm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/lvm"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// bench is disks on loop devices with the tools of lvm2. There is no device-mapper:
// they write metadata, and start nothing.
type bench struct {
	t     *testing.T
	files []string
	loops []string
	conf  string
}

func newBench(t *testing.T, disks int, size int64) *bench {
	b := &bench{t: t}
	dir := t.TempDir()
	accept := ""
	for i := range disks {
		file := filepath.Join(dir, fmt.Sprintf("disk%d", i))
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, size); err != nil {
			t.Fatal(err)
		}
		loop := strings.TrimSpace(testtool.Run(t, "losetup", "--find", "--show", file))
		t.Cleanup(func() { testtool.Run(t, "losetup", "--detach", loop) })
		b.files, b.loops = append(b.files, file), append(b.loops, loop)
		accept += fmt.Sprintf("%q,", "a|^"+loop+"$|")
	}
	b.conf = fmt.Sprintf(`devices { filter=[%s "r|.*|"] global_filter=[%s "r|.*|"] use_devicesfile=0 scan_lvs=0 }
		global { locking_dir=%q wipe_signatures_when_zeroing_new_lvs=0 } backup { backup=0 archive=0 } activation { udev_sync=0 udev_rules=0 }`,
		accept, accept, dir)
	return b
}

// lvm runs a command of lvm2.
func (b *bench) lvm(command string, args ...string) string {
	b.t.Helper()
	return testtool.Run(b.t, "lvm", append([]string{command, "--driverloaded", "n", "--config", b.conf}, args...)...)
}

// create makes a logical volume that is not started, and therefore not wiped.
func (b *bench) create(args ...string) {
	b.t.Helper()
	b.lvm("lvcreate", append([]string{"-y", "-an", "-Zn", "-Wn"}, args...)...)
}

// report is the rows of a report, with sizes in bytes.
func (b *bench) report(command, columns string) []map[string]string {
	b.t.Helper()
	out := b.lvm(command, "--reportformat", "json", "--units", "b", "--nosuffix", "-o", columns)
	var parsed struct {
		Report []map[string][]map[string]string `json:"report"`
	}
	if i := strings.Index(out, "{"); i >= 0 {
		out = out[i:]
	}
	if i := strings.LastIndex(out, "}"); i >= 0 {
		out = out[:i+1]
	}
	if err := json.Unmarshal([]byte(out), &parsed); err != nil {
		b.t.Fatalf("%v in %s", err, out)
	}
	var rows []map[string]string
	for _, r := range parsed.Report {
		for _, list := range r {
			rows = append(rows, list...)
		}
	}
	return rows
}

// devices are the disks as we read them.
func (b *bench) devices() []blockdev.Device {
	var devs []blockdev.Device
	for _, file := range b.files {
		devs = append(devs, openFile(b.t, file))
	}
	return devs
}

type fileDevice struct {
	*os.File
	size int64
}

func (f fileDevice) Size() int64 { return f.size }

func openFile(t *testing.T, name string) blockdev.Device {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return fileDevice{f, st.Size()}
}

// mapped is what Map says of devices.
type mapped struct {
	volumes map[string]volume.Volume // by label
	notices []string
	unused  map[int]int64 // bytes of each device
}

func mapAll(t *testing.T, devs ...blockdev.Device) mapped {
	t.Helper()
	m := mapped{volumes: map[string]volume.Volume{}, unused: map[int]int64{}}
	vols, err := lvm.Mapper{}.Map(context.Background(), devs, volume.Options{
		Notice: func(s string) { m.notices = append(m.notices, s) },
		Unused: func(s volume.Span) { m.unused[s.Member] += s.Len },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vols {
		m.volumes[v.Label] = v
	}
	return m
}

// export writes a volume out to a file.
func export(t *testing.T, v volume.Volume) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "volume")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, io.NewSectionReader(v.Device, 0, v.Device.Size())); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestAgreesWithReports: groups of the tools, as they report them.
func TestAgreesWithReports(t *testing.T) {
	b := newBench(t, 3, 48<<20)
	b.lvm("pvcreate", "--metadatacopies", "2", b.loops[0])
	b.lvm("pvcreate", "--metadatacopies", "0", "--dataalignment", "3m", b.loops[1])
	b.lvm("pvcreate", b.loops[2])
	b.lvm("vgcreate", "-s", "1m", "a-b.c+d_e", b.loops[0], b.loops[1], b.loops[2])
	b.create("-n", "first", "-l", "10", "a-b.c+d_e", b.loops[1])
	b.create("-n", "hole", "-l", "3", "a-b.c+d_e", b.loops[1])
	b.create("-n", "two-parts", "-l", "7", "a-b.c+d_e", b.loops[1])
	b.create("-n", "stripes", "-i", "3", "-I", "16k", "-l", "12", "a-b.c+d_e")
	b.create("-n", "read-only", "-p", "r", "-l", "2", "a-b.c+d_e")
	b.lvm("lvremove", "-y", "a-b.c+d_e/hole")
	b.lvm("lvextend", "-l", "+5", "a-b.c+d_e/two-parts", b.loops[0])
	for i := range 40 { // the text runs round the ring
		b.lvm("lvchange", "--addtag", fmt.Sprintf("a-tag-that-takes-its-place-%d", i), "a-b.c+d_e/first")
	}

	m := mapAll(t, b.devices()...)
	if len(m.notices) > 0 {
		t.Errorf("notices: %q", m.notices)
	}
	rows := b.report("lvs", "lv_name,lv_uuid,lv_size,lv_path,lv_dm_path")
	if len(rows) != 4 || len(m.volumes) != 4 {
		t.Errorf("%d volumes; the tools have %d", len(m.volumes), len(rows))
	}
	for _, r := range rows {
		v := m.volumes[r["lv_name"]]
		if v.UUID != r["lv_uuid"] || fmt.Sprint(v.Len) != r["lv_size"] || "/dev/"+v.ID != r["lv_path"] || len(v.Names) < 2 || v.Names[0] != r["lv_path"] || v.Names[1] != r["lv_dm_path"] {
			t.Errorf("%+v, not %v", v, r)
		}
		if _, ok := v.Device.(blockdev.Writable); ok != (v.Label != "read-only") {
			t.Errorf("%s can be written: %v", v.ID, ok)
		}
	}
	for i, r := range b.report("pvs", "pv_name,pv_free") {
		if got := fmt.Sprint(m.unused[i]); got != r["pv_free"] || r["pv_name"] != b.loops[i] {
			t.Errorf("%s bytes of disk %d are unused, %v", got, i, r)
		}
	}
}

// TestFilesystem: a filesystem that mke2fs writes where the tools say that a volume
// lies is whole on the volume, and what is written on the volume is there.
func TestFilesystem(t *testing.T) {
	testtool.Need(t, "mke2fs", "e2fsck")
	b := newBench(t, 1, 48<<20)
	b.lvm("vgcreate", "-s", "1m", "vg", b.loops[0])
	b.create("-n", "before", "-l", "5", "vg")
	b.create("-n", "root", "-l", "20", "vg")
	var at int64
	for _, r := range b.report("lvs", "lv_name,seg_pe_ranges,vg_extent_size") {
		if r["lv_name"] == "root" {
			_, pes, _ := strings.Cut(r["seg_pe_ranges"], ":")
			first, _, _ := strings.Cut(pes, "-")
			at = number(t, first) * number(t, r["vg_extent_size"])
		}
	}
	at += number(t, b.report("pvs", "pe_start")[0]["pe_start"])
	testtool.Run(t, "mke2fs", "-q", "-t", "ext4", "-E", fmt.Sprintf("offset=%d", at), b.files[0], "20480k")
	root := mapAll(t, b.devices()...).volumes["root"]
	testtool.Run(t, "e2fsck", "-fn", export(t, root))
	if _, err := root.Device.(blockdev.Writable).WriteAt([]byte("here"), 1<<20+7); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4)
	if _, err := b.devices()[0].ReadAt(p, at+1<<20+7); err != nil || string(p) != "here" {
		t.Errorf("%q at the place of the tools (%v)", p, err)
	}
	if s := root.Spans(4096, 8192); len(s) != 1 || s[0] != (volume.Span{Off: at + 4096, Len: 8192}) {
		t.Errorf("spans %v, begins at %d", s, at)
	}
}

func number(t *testing.T, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestMissing: without one disk, what does not need it works.
func TestMissing(t *testing.T) {
	b := newBench(t, 2, 32<<20)
	b.lvm("vgcreate", "-s", "1m", "vg", b.loops[0], b.loops[1])
	b.create("-n", "here", "-l", "5", "vg", b.loops[0])
	b.create("-n", "there", "-l", "5", "vg", b.loops[1])
	b.create("-n", "both", "-l", "30", "vg")
	uuid := b.report("pvs", "pv_uuid")[1]["pv_uuid"]
	m := mapAll(t, b.devices()[0])
	if len(m.volumes) != 1 || m.volumes["here"].ID != "vg/here" || len(m.unused) != 0 {
		t.Errorf("%v", m)
	}
	if _, ok := m.volumes["here"].Device.(blockdev.Writable); !ok {
		t.Error("what is whole has to be writable")
	}
	all := strings.Join(m.notices, "\n")
	for _, want := range []string{uuid, "vg/there is left out", "vg/both is left out"} {
		if !strings.Contains(all, want) {
			t.Errorf("no notice of %q in:\n%s", want, all)
		}
	}
	devs := b.devices()
	if m := mapAll(t, devs[0], devs[1], devs[1]); len(m.volumes) != 1 || !strings.Contains(strings.Join(m.notices, "\n"), "2 copies") {
		t.Errorf("a disk given twice: %v", m)
	}
}

// TestDamagedCopies: the newest good copy of the text is used.
func TestDamagedCopies(t *testing.T) {
	b := newBench(t, 2, 32<<20)
	b.lvm("vgcreate", "-s", "1m", "vg", b.loops[0], b.loops[1])
	b.create("-n", "root", "-l", "5", "vg")
	old, err := os.ReadFile(b.files[1])
	if err != nil {
		t.Fatal(err)
	}
	b.create("-n", "later", "-l", "5", "vg")
	devs := b.devices()
	for name, damage := range map[string]func(p []byte){
		"text":   func(p []byte) { clear(p[4096+512 : 1<<20]) },
		"header": func(p []byte) { p[4096+30]++ },
	} {
		p, err := os.ReadFile(b.files[0])
		if err != nil {
			t.Fatal(err)
		}
		damage(p)
		if m := mapAll(t, blockdev.FromBytes(p), devs[1]); len(m.volumes) != 2 || len(m.notices) == 0 {
			t.Errorf("%s: %v", name, m)
		}
	}
	if m := mapAll(t, blockdev.FromBytes(old), devs[0]); len(m.volumes) != 2 || len(m.notices) != 0 {
		// the label of the second disk and an old text: the newer one wins
		t.Errorf("old copy: %v", m)
	}
}
