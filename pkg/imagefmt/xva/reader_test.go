package xva

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// TestLayouts: what hosts of all ages write, and what other programs do.
func TestLayouts(t *testing.T) {
	a, b, c := pattern(chunkSize, 1), pattern(chunkSize, 2), pattern(chunkSize, 3)
	short := pattern(5*sectorSize, 4)
	for name, x := range map[string]struct {
		size    int64
		members [][]file
		want    []byte
	}{
		"empty disk": {0, nil, nil},
		"one short chunk": {
			int64(len(short)), [][]file{chunkOf("Ref:4", 0, xxh64, short)}, short},
		"gap and short end": {3*chunkSize + int64(len(short)), [][]file{
			chunkOf("Ref:4", 0, xxh64, a), chunkOf("Ref:4", 3, xxh64, short)}, join(a, nil, nil, short)},
		"sha1": {3 * chunkSize, [][]file{
			chunkOf("Ref:4", 0, sha1Sum, a), chunkOf("Ref:4", 1, sha1Sum, b), chunkOf("Ref:4", 2, sha1Sum, c)}, join(a, b, c)},
		"no checksums": {3 * chunkSize, [][]file{
			chunkOf("Ref:4", 0, noSum, a), chunkOf("Ref:4", 2, noSum, c)}, join(a, nil, c)},
		"mixed checksums": {4 * chunkSize, [][]file{
			chunkOf("Ref:4", 0, noSum, a), chunkOf("Ref:4", 1, sha1Sum, b), chunkOf("Ref:4", 2, xxh64, c), chunkOf("Ref:4", 3, xxh64, a)},
			join(a, b, c, a)},
		"kept alive": {4 * chunkSize, [][]file{ // numbers 1 and 4 have no place on the disk
			chunkOf("Ref:4", 0, xxh64, a), chunkOf("Ref:4", 1, xxh64, nil), chunkOf("Ref:4", 2, xxh64, b),
			chunkOf("Ref:4", 4, xxh64, nil), chunkOf("Ref:4", 5, xxh64, c)}, join(a, b, nil, c)},
		"last chunk in full": {chunkSize + sectorSize, [][]file{
			chunkOf("Ref:4", 0, xxh64, a), chunkOf("Ref:4", 1, xxh64, b)}, join(a, b[:sectorSize])},
		"other members": {2 * chunkSize, [][]file{
			{{"README", []byte("x")}, {"../../evil", []byte("x")}, {"Ref:99/00000000", a}, {"Ref:4/notes", nil}},
			chunkOf("Ref:4", 0, xxh64, a), chunkOf("Ref:4", 1, xxh64, b), {{"checksum.xml", []byte("<x/>")}}}, join(a, b)},
		"dot before names": {chunkSize, [][]file{{{"./Ref:4/00000000", a}}}, a},
	} {
		t.Run(name, func(t *testing.T) {
			img := mustOpen(t, pack(t, oneDisk(x.size), x.members...))
			imagefmttest.Device(t, img, x.want)
		})
	}
}

// TestChecksum: a chunk that was changed is named when all of it is read, and a
// part of it can still be had.
func TestChecksum(t *testing.T) {
	for _, kind := range []sumKind{xxh64, sha1Sum} {
		members := append(chunkOf("Ref:4", 0, kind, pattern(chunkSize, 1)), chunkOf("Ref:4", 7, kind, pattern(chunkSize, 2))...)
		members[2].data[99] ^= 1
		img := mustOpen(t, pack(t, oneDisk(8*chunkSize), members))
		_, err := readAll(img)
		if !errors.Is(err, ondisk.ErrCorrupt) || !strings.Contains(err.Error(), "Ref:4/00000007") {
			t.Errorf("a changed chunk: %v", err)
		}
		p := make([]byte, 7*chunkSize+90)
		if _, err := img.ReadAt(p, 0); err != nil {
			t.Errorf("what is not changed: %v", err)
		}
	}
}

// TestRuns: a disk without holes takes one run in memory, whatever its size.
func TestRuns(t *testing.T) {
	table := chunkTable{ref: "Ref:4", size: 1 << 40, last: -1}
	for i := range int64(1 << 20) {
		if i == 1000 {
			continue
		}
		r := run{pos: i * chunkSize, n: 1, size: chunkSize, number: i, off: 4096 + i*(chunkSize+1536), sum: xxh64, sumOff: chunkSize + 512}
		table.settle()
		table.pending, table.last, table.pos = &r, i, r.end()
	}
	table.settle()
	if len(table.runs) != 2 {
		t.Fatalf("%d runs", len(table.runs))
	}
	for _, i := range []int64{0, 1, 999, 1001, 1 << 19, 1<<20 - 1} {
		c, ok := table.find(i*chunkSize + 5)
		if !ok || c.number != i || c.pos != i*chunkSize || c.off != 4096+i*(chunkSize+1536) || c.sumOff != c.off+chunkSize+512 {
			t.Errorf("chunk %d is found as %+v", i, c)
		}
	}
	if c, ok := table.find(1000 * chunkSize); !ok || c.number != 1001 {
		t.Errorf("behind the gap comes %+v", c)
	}
}

// TestExtents: a gap is one extent, and data says where it lies.
func TestExtents(t *testing.T) {
	img := mustOpen(t, pack(t, oneDisk(50*chunkSize), chunkOf("Ref:4", 0, xxh64, pattern(chunkSize, 1)), chunkOf("Ref:4", 49, xxh64, pattern(chunkSize, 2))))
	var got []string
	for e, err := range blockdev.Extents(t.Context(), img, 0, img.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %d+%d", e.Kind, e.Off/chunkSize, e.Len/chunkSize))
	}
	if s := strings.Join(got, ", "); s != "data 0+1, zero 1+48, data 49+1" {
		t.Errorf("extents: %s", s)
	}
}

// TestConcurrent reads from many goroutines, for the race detector.
func TestConcurrent(t *testing.T) {
	disk := join(pattern(chunkSize, 1), nil, pattern(chunkSize, 2))
	img := mustOpen(t, pack(t, oneDisk(int64(len(disk))), chunkOf("Ref:4", 0, xxh64, disk[:chunkSize]), chunkOf("Ref:4", 2, sha1Sum, disk[2*chunkSize:])))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			p := make([]byte, len(disk))
			if _, err := img.ReadAt(p, int64(i)*1000); err != nil && err != io.EOF {
				t.Error(err)
			}
			if !bytes.Equal(p[:len(disk)-i*1000], disk[i*1000:]) {
				t.Errorf("reader %d got something else", i)
			}
		})
	}
	wg.Wait()
}

// TestSeveralDisks: Open has the user choose, Index opens each.
func TestSeveralDisks(t *testing.T) {
	a, b := pattern(chunkSize, 1), pattern(600, 2)
	doc := xmlDoc(xmlVM("Ref:0"), xmlVBD("Ref:1", "Ref:0", "Ref:8", "1"), xmlVBD("Ref:2", "Ref:0", "Ref:10", "0"),
		xmlVDI("Ref:8", 600), xmlVDI("Ref:10", 3*chunkSize), xmlVDI("Ref:5", 1),
		xmlObject("VBD", "Ref:3", "VM=Ref:0", "type=CD", "empty=<boolean>1</boolean>", "VDI=OpaqueRef:NULL"))
	content := pack(t, doc, chunkOf("Ref:10", 0, xxh64, a), chunkOf("Ref:10", 2, xxh64, a), chunkOf("Ref:8", 0, xxh64, b))
	_, err := openBytes(t, content)
	if !errors.Is(err, ondisk.ErrAmbiguous) || !strings.Contains(err.Error(), `Ref:10 ("disk Ref:10"), Ref:8`) {
		t.Errorf("Open: %v", err)
	}
	arch, err := Index(t.Context(), imagefmttest.NewSource("x.xva", content), ondisk.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string][]byte{"Ref:10": join(a, nil, a), "Ref:8": b} {
		img, err := arch.Disk(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		imagefmttest.Device(t, img, want)
		if err := img.Close(); err != nil {
			t.Error(err)
		}
	}
	for ref, want := range map[string]error{"Ref:5": ondisk.ErrCorrupt, "Ref:77": ondisk.ErrUnsupported} {
		if _, err := arch.Disk(t.Context(), ref); !errors.Is(err, want) {
			t.Errorf("Disk(%q): %v", ref, err)
		}
	}
}

func TestDescription(t *testing.T) {
	doc := xmlDoc(
		xmlVM("Ref:1", "is_a_snapshot=<boolean>1</boolean>"), // the field before wins
		xmlObject("VM", "Ref:2", "name_label=old", "is_a_snapshot=<boolean>1</boolean>", "memory_static_max=x"),
		xmlObject("VBD", "Ref:3", "VM=Ref:1", "VDI=Ref:20", "userdevice=10", "type=Disk", "mode=RO"),
		xmlObject("VBD", "Ref:4", "VM=Ref:1", "VDI=Ref:21", "userdevice=2", "type=Disk", "mode=RW", "bootable=<boolean>1</boolean>"),
		xmlObject("VBD", "Ref:5", "VM=Ref:2", "VDI=Ref:22", "userdevice=0", "type=Disk"),
		xmlObject("VIF", "Ref:6", "VM=Ref:1", "device=1", "MAC=0a:00:00:00:00:01", "network=Ref:9"),
		xmlObject("VIF", "Ref:7", "VM=Ref:1", "device=0", "MAC=", "network=Ref:404"),
		xmlObject("VIF", "Ref:8", "VM=Ref:2", "device=0"),
		xmlObject("network", "Ref:9", "name_label=Pool-wide &lt;eth0&gt;", "bridge=xenbr0"),
		xmlVDI("Ref:20", 512), xmlVDI("Ref:21", 1024), xmlVDI("Ref:22", 2048))
	want := Description{
		Name: "web01", Memory: 1 << 30, VCPUs: 2, HVM: true, Firmware: "bios", Platform: map[string]string{},
		Disks: []Disk{
			{Ref: "Ref:21", Name: "disk Ref:21", Size: 1024, Device: "2", Bootable: true},
			{Ref: "Ref:20", Name: "disk Ref:20", Size: 512, Device: "10", ReadOnly: true},
		},
		NICs: []NIC{{Device: "0"}, {Device: "1", MAC: "0a:00:00:00:00:01", Network: "Pool-wide <eth0>", Bridge: "xenbr0"}},
	}
	got, sizes, err := parseDescription([]byte(doc), 512)
	if err != nil || !reflect.DeepEqual(got, want) || len(sizes) != 3 {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}

	uefi := xmlDoc(xmlVM("Ref:1", "uuid=u", "name_description=about",
		"HVM_boot_params=<struct><member><name>firmware</name><value>uefi</value></member><member><name>order</name><value><string>cdn</string></value></member></struct>",
		"platform=<struct><member><name>secureboot</name><value>true</value></member></struct>", "domain_type=hvm"))
	d, _, err := parseDescription([]byte(uefi), 512)
	if err != nil || d.Firmware != "uefi" || d.BootOrder != "cdn" || !d.SecureBoot || !d.HVM || d.Text != "about" || d.UUID != "u" {
		t.Errorf("uefi: %+v, %v", d, err)
	}
	pv := xmlDoc(xmlObject("VM", "Ref:1", "memory_static_max=1", "VCPUs_max=1", "HVM_boot_policy=", "PV_bootloader=pygrub", "PV_args=console=hvc0"))
	d, _, err = parseDescription([]byte(pv), 512)
	if err != nil || d.HVM || d.PVBootloader != "pygrub" || d.PVArgs != "console=hvc0" {
		t.Errorf("pv: %+v, %v", d, err)
	}
}

func TestProbe(t *testing.T) {
	good := pack(t, oneDisk(0))
	for name, c := range map[string]struct {
		content []byte
		want    ondisk.Match
	}{
		"export":        {good, ondisk.Sure},
		"only a start":  {good[:600], ondisk.None},
		"other xml":     {pack(t, "<Envelope/>"), ondisk.None},
		"no xml":        {pack(t, "text"), ondisk.None},
		"other archive": {bytes.Replace(good, []byte("ova.xml"), []byte("ovb.xml"), 1), ondisk.None},
		"nothing":       {nil, ondisk.None},
	} {
		got, err := Format{}.Probe(imagefmttest.NewSource("x", c.content))
		if err != nil || got != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	failure := errors.New("the device fails")
	src := imagefmttest.NewSource("x", good)
	src.OnRead = func(int64, int) error { return failure }
	if _, err := (Format{}).Probe(src); !errors.Is(err, failure) {
		t.Errorf("a failing device: %v", err)
	}
}
