package lvm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func TestLayout(t *testing.T) {
	for _, c := range []struct {
		v    any
		want int
	}{
		{label{}, 32}, {pvHeader{}, 40}, {area{}, 16}, {mdaHeader{}, 136}, {rawLocn{}, 24},
		{raidSuper{}, 88}, {thinSuper{}, 352}, {thinNode{}, nodeHeadLen},
	} {
		if n := binary.Size(c.v); n != c.want {
			t.Errorf("%T takes %d bytes, not %d", c.v, n, c.want)
		}
	}
	p := make([]byte, nodeHeadLen)
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		var want thinNode
		if _, err := binary.Decode(p, le, &want); err != nil {
			t.Fatal(err)
		}
		if got := decodeNode(p); got != want {
			t.Fatalf("%+v, not %+v", got, want)
		}
	}
}

const (
	diskLen = 1 << 20
	areaAt  = 4096
	areaLen = 256 << 10
	pvID    = "0123456789abcdefghijklmnopqrstuv"
	vgID    = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"
)

// disk is a physical volume with a text; all checksums are right.
func disk(text string) []byte {
	p := make([]byte, diskLen)
	at := p[sector : 2*sector]
	copy(at, labelID)
	le.PutUint64(at[8:], 1)
	le.PutUint32(at[20:], 32)
	copy(at[24:], labelType)
	copy(at[32:], pvID)
	le.PutUint64(at[64:], diskLen)
	le.PutUint64(at[72:], areaAt+areaLen) // data
	le.PutUint64(at[104:], areaAt)        // metadata
	le.PutUint64(at[112:], areaLen)
	le.PutUint32(at[16:], crc(at[labelCRCFrom:]))

	text = text[:min(len(text), areaLen-mdaHeaderLen)]
	copy(p[areaAt+mdaHeaderLen:], text)
	h := mdaHeader{Magic: [16]byte([]byte(mdaMagic)), Version: 1, Start: areaAt, Size: areaLen}
	h.Locs[0] = rawLocn{Off: mdaHeaderLen, Size: uint64(len(text)), CRC: crc([]byte(text))}
	binary.Encode(p[areaAt:], le, h)
	le.PutUint32(p[areaAt:], crc(p[areaAt+mdaCRCFrom:areaAt+mdaHeaderLen]))
	return p
}

// vg is a text with a physical volume of 8 extents of 64 KiB.
func vg(volumes string) string {
	return fmt.Sprintf(`contents = "Text Format Volume Group" # a comment
version = 1
vg { id = %q seqno = 3 status = ["RESIZEABLE", "READ", "WRITE"] extent_size = 128
physical_volumes { pv0 { id = %q device = "/dev/\"x\"" status = ["ALLOCATABLE"] pe_start = 640 pe_count = 8 } }
logical_volumes { %s } }`, vgID, pvID, volumes)
}

func lv(name string, segments ...string) string {
	s := fmt.Sprintf(`%s { id = "l" status = ["READ", "WRITE", "VISIBLE"] segment_count = %d `, name, len(segments))
	for i, segment := range segments {
		s += fmt.Sprintf("segment%d { %s }\n", i+1, segment)
	}
	return s + "}\n"
}

func linear(start, n int, target string, from int) string {
	return fmt.Sprintf(`start_extent = %d extent_count = %d type = "striped" stripe_count = 1 stripes = [%q, %d]`, start, n, target, from)
}

// hostile are texts that claim what cannot be, and a part of what has to be said.
var hostile = []struct{ name, text, want string }{
	{"deep", strings.Repeat("a{", 1<<15), "nest more than"},
	{"many values", strings.Repeat("a=1\n", 1<<15) + strings.Repeat("b=[1,1,1,1,1,1,1,1,1,1]\n", 1<<13), "no volume group"},
	{"no end of a string", `vg { id = "`, "does not end"},
	{"no end of a list", `vg { id = [1, 2`, "the list does not end"},
	{"a loop", vg(lv("a", linear(0, 2, "b", 0)) + lv("b", linear(0, 2, "a", 0))), "lies on itself"},
	{"itself", vg(lv("a", linear(0, 2, "a", 0))), "lies on itself"},
	{"overlap", vg(lv("a", linear(0, 2, "pv0", 0)) + lv("b", linear(0, 2, "pv0", 1))), "used twice"},
	{"twice in one", vg(lv("a", linear(0, 2, "pv0", 0), linear(2, 2, "pv0", 1))), "used twice"},
	{"a gap", vg(lv("a", linear(0, 2, "pv0", 0), linear(3, 2, "pv0", 4))), "begins at extent"},
	{"beyond", vg(lv("a", linear(0, 9, "pv0", 0))), "used twice or not there"},
	{"giant", vg(lv("a", linear(0, 1<<62, "pv0", 0))), "extents"},
	{"giant zero", vg(lv("a", `start_extent = 0 extent_count = 1000000000000 type = "zero"`)), "more than"},
	{"negative", vg(lv("a", linear(0, -5, "pv0", 0))), "begins at extent"},
	{"no target", vg(lv("a", linear(0, 1, "pv7", 0))), "not there"},
	{"no stripes", vg(lv("a", `start_extent = 0 extent_count = 2 type = "striped" stripe_count = 0 stripes = []`)), "0 stripes"},
	{"zero stripe size", vg(lv("a", `start_extent = 0 extent_count = 2 type = "striped" stripe_count = 2 stripe_size = 0 stripes = ["pv0", 0, "pv0", 1]`)), "chunks of 0"},
	{"odd list", vg(lv("a", `start_extent = 0 extent_count = 2 type = "striped" stripe_count = 1 stripes = ["pv0"]`)), "elements"},
	{"a path as a name", vg(lv("../a", linear(0, 1, "pv0", 0))), "no name"},
	{"unknown type", vg(lv("a", `start_extent = 0 extent_count = 2 type = "new"`)), "cannot be read"},
	{"thin on nothing", vg(lv("a", `start_extent = 0 extent_count = 2 type = "thin" thin_pool = "p" device_id = 1`)), "no thin pool"},
	{"thin on itself", vg(lv("a", `start_extent = 0 extent_count = 2 type = "thin" thin_pool = "p" device_id = 1`) +
		lv("p", `start_extent = 0 extent_count = 2 type = "thin-pool" metadata = "a" pool = "a" chunk_size = 128`)), "lies on itself"},
	{"a segment that is not there", vg(`a { id = "l" status = [] segment_count = 1000000000000 }`), "is not there"},
	{"no extent size", `vg { id = "` + vgID + `" seqno = 1 extent_size = 0 }`, "extent_size"},
}

func TestHostile(t *testing.T) {
	for _, h := range hostile {
		var heard []string
		vols, err := Mapper{}.Map(context.Background(), []blockdev.Device{blockdev.FromBytes(disk(h.text))},
			volume.Options{Notice: func(s string) { heard = append(heard, s) }})
		if err != nil || len(vols) > 0 || !strings.Contains(strings.Join(heard, "\n"), h.want) {
			t.Errorf("%s: %d volumes, %v; notices %.300q", h.name, len(vols), err, heard)
		}
	}
	if _, err := parseText([]byte(strings.Repeat("a=1\n", maxTextValues+1))); !errors.Is(err, ondisk.ErrTooBig) {
		t.Errorf("too many values: %v", err)
	}
}

// TestLongChain: volumes that lie on each other, and more of them than is allowed.
func TestLongChain(t *testing.T) {
	text := lv("v0", linear(0, 1, "pv0", 0))
	for i := range 2 * maxNesting {
		text += lv(fmt.Sprintf("v%d", i+1), linear(0, 1, fmt.Sprintf("v%d", i), 0))
	}
	var heard []string
	Mapper{}.Map(context.Background(), []blockdev.Device{blockdev.FromBytes(disk(vg(text)))},
		volume.Options{Notice: func(s string) { heard = append(heard, s) }})
	_ = heard // what is left out depends on the order; that it ends is what counts
}

// use reads of a volume, and asks where its bytes lie.
func use(t *testing.T, v volume.Volume, devs []blockdev.Device) {
	if v.Device.Size() != v.Len || v.Len < 0 || len(v.On) == 0 {
		t.Fatalf("%+v on %d bytes", v, v.Device.Size())
	}
	p := make([]byte, 70000)
	for _, off := range []int64{0, v.Len / 2, max(0, v.Len-int64(len(p)))} {
		v.Device.ReadAt(p, off)
		if off < v.Len {
			blockdev.NextExtent(v.Device, off, v.Len-off)
		}
	}
	for _, s := range v.Spans(0, v.Len) {
		if s.Member < 0 || s.Member >= len(devs) || !ondisk.InRange(s.Off, s.Len, devs[s.Member].Size()) || s.Len == 0 {
			t.Fatalf("span %v", s)
		}
	}
}

// FuzzText maps texts behind right checksums.
func FuzzText(f *testing.F) {
	for _, h := range hostile {
		if len(h.text) < 4096 {
			f.Add(h.text)
		}
	}
	raid := `start_extent = 0 extent_count = 2 type = "raid1" device_count = 2 raids = ["m0", "i0", "m1", "i1"]`
	f.Add(vg(lv("good", linear(0, 2, "pv0", 0), linear(2, 1, "pv0", 5)) + lv("r", raid) + lv("m0", linear(0, 1, "pv0", 2)) +
		lv("i0", linear(0, 2, "pv0", 3))))
	f.Fuzz(func(t *testing.T, text string) {
		dev := blockdev.FromBytes(disk(text))
		devs := []blockdev.Device{dev, dev}[:1]
		vols, err := Mapper{}.Map(context.Background(), devs, volume.Options{Unused: func(s volume.Span) {
			if !ondisk.InRange(s.Off, s.Len, diskLen) {
				t.Fatalf("unused %v", s)
			}
		}})
		if err != nil {
			return
		}
		for _, v := range vols {
			use(t, v, devs)
		}
	})
}

// FuzzLabel breaks the label and the header of the area, and seals them.
func FuzzLabel(f *testing.F) {
	good := disk(vg(lv("a", linear(0, 2, "pv0", 0))))
	f.Add(good[sector:2*sector], good[areaAt:areaAt+mdaHeaderLen])
	f.Fuzz(func(t *testing.T, head, area []byte) {
		p := disk(vg(lv("a", linear(0, 2, "pv0", 0))))
		copy(p[sector:2*sector], head)
		copy(p[areaAt:areaAt+mdaHeaderLen], area)
		le.PutUint32(p[sector+16:], crc(p[sector+labelCRCFrom:2*sector]))
		le.PutUint32(p[areaAt:], crc(p[areaAt+mdaCRCFrom:areaAt+mdaHeaderLen]))
		devs := []blockdev.Device{blockdev.FromBytes(p)}
		Mapper{}.Probe(devs[0])
		vols, _ := Mapper{}.Map(context.Background(), devs, volume.Options{})
		for _, v := range vols {
			use(t, v, devs)
		}
	})
}

// thinMetadata is a pool of blocks of 64 KiB with device 1, whose blocks 0, 1 and 5
// are mapped.
func thinMetadata() []byte {
	p := make([]byte, 4*thinBlock)
	binary.Encode(p, le, thinSuper{Magic: thinMagic, Version: 2, MappingRoot: 1, DataBlock: 128, MetadataBlock: 8})
	leaf := func(block, entries int) []byte {
		n := p[block*thinBlock:][:thinBlock]
		binary.Encode(n, le, thinNode{Flags: nodeLeaf, Entries: uint32(entries), MaxEntries: 252, ValueSize: 8})
		return n[nodeHeadLen:]
	}
	top := leaf(1, 1)
	top[0], top[252*8] = 1, 2
	low := leaf(2, 3)
	for i, key := range []uint64{0, 1, 5} {
		le.PutUint64(low[8*i:], key)
		le.PutUint64(low[252*8+8*i:], uint64(i)<<timeBits|7)
	}
	sealThin(p)
	return p
}

func sealThin(p []byte) {
	for at := 0; at+thinBlock <= len(p); at += thinBlock {
		b := p[at : at+thinBlock]
		le.PutUint64(b[8:], uint64(at/thinBlock))
		salt := uint32(nodeSalt)
		if at == 0 {
			salt = superSalt
		}
		le.PutUint32(b, thinCRC(b, salt))
	}
}

// FuzzThin breaks the trees of a pool, and seals the blocks.
func FuzzThin(f *testing.F) {
	good := thinMetadata()
	f.Add(good[:400], good[thinBlock:][:64], good[2*thinBlock:][:64], good[2*thinBlock+nodeHeadLen+252*8:][:64])
	f.Fuzz(func(t *testing.T, super, top, low, values []byte) {
		p := thinMetadata()
		copy(p[:thinBlock], super)
		copy(p[thinBlock:2*thinBlock], top)
		copy(p[2*thinBlock:3*thinBlock], low)
		copy(p[2*thinBlock+nodeHeadLen+252*8:3*thinBlock], values)
		sealThin(p)
		trees, err := openThin(blockdev.FromBytes(p), ondisk.DefaultLimits)
		if err != nil {
			return
		}
		top1, err := trees.find(trees.super.MappingRoot, 1, 0)
		if err != nil || !top1.found {
			return
		}
		data := blockdev.FromBytes(make([]byte, 1<<20))
		d := &thinDevice{pool: &thinPool{trees: trees, data: data, block: int64(trees.super.DataBlock) * sector}, root: top1.value, size: 1 << 40}
		buf := make([]byte, 200<<10)
		d.ReadAt(buf, 0)
		for off, steps := int64(0), 0; off < d.size && steps < 1000; steps++ {
			e, err := d.NextExtent(off, d.size-off)
			if err != nil {
				return
			}
			if e.Off != off || e.Len <= 0 || e.Len > d.size-off {
				t.Fatalf("extent %+v at %d", e, off)
			}
			off = e.End()
		}
	})
}
