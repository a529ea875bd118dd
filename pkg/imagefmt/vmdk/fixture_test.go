//go:build linux

package vmdk

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// streamKind is how a stream is ended; VMware's own is all of it.
type streamKind struct {
	version  uint32
	front    bool // directory before the grains instead of behind them
	tables   bool // tables, directory and their markers
	footer   bool
	eos      bool
	repeated bool // the first grain comes twice, wrong at first
	short    bool // nothing is set apart between descriptor and grains
}

var vmwareStream = streamKind{version: versionStream, tables: true, footer: true, eos: true}

// handStream builds a streamOptimized disk by hand. It is a second author of the
// format, so that reader and writer cannot share a mistake.
func handStream(t testing.TB, content []byte, k streamKind) []byte {
	t.Helper()
	overhead := 128
	if k.short {
		overhead = 1 + descriptorSectors
	}
	sectors := uint64(len(content)) / sectorSize
	h := sparseHeader{
		Magic: sparseMagic, Version: k.version, Flags: flagNewlineTest | flagCompressed | flagMarkers,
		Capacity: sectors, GrainSize: defaultGrainSectors, DescriptorOffset: 1, DescriptorSize: descriptorSectors,
		TableEntries: defaultTableEntries, GDOffset: gdAtEnd, OverHead: uint64(overhead),
		NewlineTest: newlineTest, Compression: compressionDeflate,
	}
	p := make([]byte, overhead*sectorSize)
	desc := text(typeStream, extentText(sectors, "SPARSE", "disk.vmdk"))
	copy(p[sectorSize:], desc)
	if k.repeated {
		p = appendGrain(p, 0, bytes.Repeat([]byte("wrong"), 20000)[:grainBytes])
	}
	tables := make([][]byte, ondisk.DivUp(int64(len(content)), grainBytes*defaultTableEntries))
	for i := range tables {
		tables[i] = make([]byte, tableBytes)
	}
	for off := 0; off < len(content); off += grainBytes {
		grain := make([]byte, grainBytes)
		copy(grain, content[off:])
		if ondisk.IsZero(grain) {
			continue
		}
		i := off / grainBytes
		binary.LittleEndian.PutUint32(tables[i/512][i%512*4:], uint32(len(p)/sectorSize))
		p = appendGrain(p, uint64(off/sectorSize), grain)
	}
	if k.tables {
		dir := make([]byte, ondisk.AlignUp(int64(len(tables))*4, sectorSize))
		for i, table := range tables {
			p = appendMarker(p, tableBytes/sectorSize, markerTable)
			binary.LittleEndian.PutUint32(dir[i*4:], uint32(len(p)/sectorSize))
			p = append(p, table...)
		}
		p = appendMarker(p, uint64(len(dir)/sectorSize), markerGD)
		at := uint64(len(p) / sectorSize)
		p = append(p, dir...)
		footer := h
		footer.GDOffset = at
		if k.front {
			h.GDOffset = at
		}
		if k.footer {
			p = appendMarker(p, 1, markerFooter)
			p = footer.appendTo(p)
		}
	}
	if k.eos {
		p = appendMarker(p, 0, markerEOS)
	}
	copy(p, h.appendTo(nil))
	return p
}

func appendGrain(p []byte, sector uint64, grain []byte) []byte {
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	w.Write(grain)
	w.Close()
	p = binary.LittleEndian.AppendUint64(p, sector)
	p = binary.LittleEndian.AppendUint32(p, uint32(z.Len()))
	return pad(append(p, z.Bytes()...))
}

func appendMarker(p []byte, sectors uint64, kind uint32) []byte {
	p = binary.LittleEndian.AppendUint64(p, sectors)
	p = binary.LittleEndian.AppendUint32(p, 0)
	return pad(binary.LittleEndian.AppendUint32(p, kind))
}

// pad fills up to a whole sector.
func pad(p []byte) []byte {
	return append(p, make([]byte, ondisk.AlignUp(int64(len(p)), sectorSize)-int64(len(p)))...)
}

// tinySparse builds a monolithicSparse disk with grains of 4 KiB, one table and
// its copy.
func tinySparse(content []byte) []byte {
	const grain, dir, table, backupDir, backup, first = minGrainSectors * sectorSize, 2, 3, 7, 8, 16
	sectors := uint64(len(content)) / sectorSize
	h := sparseHeader{
		Magic: sparseMagic, Version: versionPlain, Flags: flagNewlineTest | flagRedundantGD | flagZeroedGrains,
		Capacity: sectors, GrainSize: minGrainSectors, DescriptorOffset: 1, DescriptorSize: 1,
		TableEntries: defaultTableEntries, RGDOffset: backupDir, GDOffset: dir, OverHead: first,
		NewlineTest: newlineTest,
	}
	p := make([]byte, first*sectorSize)
	copy(p, h.appendTo(nil))
	copy(p[sectorSize:], text(typeMonolithicSparse, extentText(sectors, extentSparse, "disk.vmdk")))
	p[dir*sectorSize], p[backupDir*sectorSize] = table, backup
	for off := 0; off < len(content); off += grain {
		g := make([]byte, grain)
		copy(g, content[off:])
		entry := uint32(off / grain % 2) // a zeroed grain, by turns
		if !ondisk.IsZero(g) {
			entry = uint32(len(p) / sectorSize)
			p = append(p, g...)
		}
		binary.LittleEndian.PutUint32(p[table*sectorSize+off/grain*4:], entry)
		binary.LittleEndian.PutUint32(p[backup*sectorSize+off/grain*4:], entry)
	}
	return p
}

// TestSmallGrains reads what no writer here makes.
func TestSmallGrains(t *testing.T) {
	content := make([]byte, 50_000&^(sectorSize-1))
	copy(content[10_000:], bytes.Repeat([]byte("small"), 3000))
	l := newLab(t)
	l.write("disk.vmdk", tinySparse(content))
	imagefmttest.Device(t, l.open("disk.vmdk"), content)
	l.close()
	if !bytes.Equal(l.truth("disk.vmdk"), content) {
		t.Error("qemu-img reads another disk")
	}
}

// TestStreams reads streams ended in every way that is met. QEMU and libvmdk read
// those that have a directory.
func TestStreams(t *testing.T) {
	content := guestDisk(35<<20, 11)
	for _, tt := range []struct {
		name string
		kind streamKind
		qemu bool
	}{
		{"vmware", vmwareStream, true},
		{"version 1", streamKind{version: 1, tables: true, footer: true, eos: true}, true},
		{"no end marker", streamKind{version: 3, tables: true, footer: true}, false},
		{"no footer", streamKind{version: 3, tables: true, eos: true}, false},
		{"no tables", streamKind{version: 3, eos: true}, false},
		{"directory known, no footer", streamKind{version: 3, front: true, tables: true, eos: true}, true},
		{"grain twice", streamKind{version: 3, eos: true, repeated: true}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			l.write("disk.vmdk", handStream(t, content, tt.kind))
			imagefmttest.Device(t, l.open("disk.vmdk"), content)
			l.close()
			if tt.qemu && !bytes.Equal(l.truth("disk.vmdk"), content) {
				t.Error("qemu-img reads another disk")
			}
			if tt.name == "vmware" && !bytes.Equal(l.python("disk.vmdk", len(content)), content) {
				t.Error("libvmdk reads another disk")
			}
		})
	}
}

// cowd builds a vmfsSparse extent with grains of n sectors: what lies in content
// and is not zero.
func cowd(content []byte, n int) []byte {
	grain, span := n*sectorSize, n*sectorSize*cowdTableEntries
	count := int(ondisk.DivUp(int64(len(content)), int64(span)))
	h := cowdHeader{
		Magic: cowdMagic, Version: 1, Flags: 3, Capacity: uint32(len(content) / sectorSize),
		GrainSize: uint32(n), GDOffset: 4, GDEntries: uint32(count),
	}
	head, _ := binary.Append(nil, binary.LittleEndian, h)
	p := make([]byte, cowdHeaderSize+int(ondisk.AlignUp(int64(count)*4, sectorSize)))
	copy(p, head)
	for i := range count {
		part := content[i*span : min((i+1)*span, len(content))]
		if ondisk.IsZero(part) {
			continue
		}
		table := len(p)
		binary.LittleEndian.PutUint32(p[cowdHeaderSize+i*4:], uint32(table/sectorSize))
		p = append(p, make([]byte, cowdTableEntries*4)...)
		for j := 0; j*grain < len(part); j++ {
			g := make([]byte, grain)
			copy(g, part[j*grain:])
			if !ondisk.IsZero(g) {
				binary.LittleEndian.PutUint32(p[table+j*4:], uint32(len(p)/sectorSize))
				p = append(p, g...)
			}
		}
	}
	return p
}

// seSparse builds a seSparse extent. Grains of zeros are of each kind by turns.
func seSparse(content []byte) []byte {
	const grain, tables, grains = seGrainSectors * sectorSize, 40, 192
	h := seHeader{
		Magic: seMagic, Version: seVersion, Capacity: uint64(len(content) / sectorSize),
		GrainSize: seGrainSectors, TableSize: seTableSectors,
		VolatileOffset: 1, VolatileSize: 1, JournalHeader: 2, JournalHdrSize: 2, Journal: 4, JournalSize: 8,
		GDOffset: 32, GDSize: 1, TablesOffset: tables, TablesSize: 128, GrainsOffset: grains, GrainsSize: 1 << 20,
	}
	p := make([]byte, grains*sectorSize)
	head, _ := binary.Append(nil, binary.LittleEndian, h)
	copy(p, head)
	binary.LittleEndian.PutUint64(p[sectorSize:], seVolatile)
	for i := 0; i*grain < len(content); i++ {
		table := i / seTableEntries
		binary.LittleEndian.PutUint64(p[32*sectorSize+table*8:], seDirEntry<<32|uint64(table))
		entry := p[tables*sectorSize+table*seTableSectors*sectorSize+i%seTableEntries*8:]
		g := make([]byte, grain)
		copy(g, content[i*grain:])
		if ondisk.IsZero(g) {
			binary.LittleEndian.PutUint64(entry, uint64(i%3)<<seEntryKind)
			continue
		}
		index := uint64(len(p)-grains*sectorSize) / grain
		binary.LittleEndian.PutUint64(entry, seAllocated<<seEntryKind|index&seIndexMask<<seIndexHigh|index>>seIndexShift)
		p = append(p, g...)
	}
	return p
}

// TestSnapshotExtents reads the extents of ESXi's snapshots as QEMU does.
func TestSnapshotExtents(t *testing.T) {
	content := guestDisk(20<<20+7*sectorSize, 12)
	for _, tt := range []struct {
		name, create, kind string
		extent             []byte
	}{
		{"COWD", typeVMFSSparse, extentVMFSSparse, cowd(content, 1)},
		{"COWD with large grains", typeVMFSSparse, extentVMFSSparse, cowd(content, 16)},
		{"seSparse", typeSESparse, extentSESparse, seSparse(content)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			l.write("disk-delta.vmdk", tt.extent)
			l.write("disk.vmdk", text(tt.create, extentText(uint64(len(content)/sectorSize), tt.kind, "disk-delta.vmdk")))
			imagefmttest.Device(t, l.open("disk.vmdk"), content)
			l.close()
			if !bytes.Equal(l.truth("disk.vmdk"), content) {
				t.Error("qemu-img reads another disk")
			}
			r, err := Format{}.Check(t.Context(), l.folder().Get("disk.vmdk"), imagefmt.OpenOptions{}, nil)
			if err != nil || r.Corrupt != 0 || r.Allocated == 0 {
				t.Errorf("check: %v, %+v", err, r)
			}
		})
	}
}

// TestSnapshotOverParent is a delta of each kind, over a flat disk.
func TestSnapshotOverParent(t *testing.T) {
	base, delta := guestDisk(8<<20, 13), guestDisk(8<<20, 14)
	for kind, x := range map[string][]byte{extentVMFSSparse: cowd(delta, 1), extentSESparse: seSparse(delta)} {
		l := newLab(t)
		create := map[string]string{extentVMFSSparse: typeVMFSSparse, extentSESparse: typeSESparse}[kind]
		l.write("vm-flat.vmdk", base)
		l.write("vm.vmdk", text(typeVMFS, extentText(16384, "VMFS", "vm-flat.vmdk")))
		l.write("vm-000001-delta.vmdk", x)
		d := text(create, extentText(16384, kind, "vm-000001-delta.vmdk"))
		d = bytes.Replace(d, []byte("parentCID=ffffffff"), []byte("parentCID=12345678\nparentFileNameHint=\"vm.vmdk\""), 1)
		l.write("vm-000001.vmdk", d)
		want := l.truth("vm-000001.vmdk")
		imagefmttest.Device(t, l.open("vm-000001.vmdk"), want)
	}
}
