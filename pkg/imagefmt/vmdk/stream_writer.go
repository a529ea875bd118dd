package vmdk

import (
	"encoding/binary"
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// stream writes a streamOptimized extent, which never goes back: grains of zeros
// are left out, a table comes when the last of its grains came, the directory
// and the header's copy that says where it is come at the end. Only where the
// sink can seek, the first sector is held back till then.
type stream struct {
	tape
	packer
	size      int64
	directory []byte // places of the tables
	table     []byte // that is being filled
	at        int64  // its index; -1 before the first
	scratch   []byte // a record that came in by put
}

// streamOverhead is where VMware begins the grains of a stream, in sectors.
const streamOverhead = 128

// newStream starts a stream. Nothing reaches the sink before the first grains.
func (d *disk) newStream() (imagefmt.Writer, error) {
	s := &stream{
		tape:      tape{sink: d.sink},
		size:      d.sectors * sectorSize,
		directory: make([]byte, tablesOf(d.sectors)*tableEntrySize),
		table:     make([]byte, tableBytes),
		at:        -1,
	}
	s.level = d.level
	front := make([]byte, streamOverhead*sectorSize)
	if !d.sink.Seekable() {
		s.header(gdAtEnd).appendTo(front[:0])
	}
	text := d.embedded()
	if len(text) > descriptorSectors*sectorSize {
		return nil, ondisk.At(layer, "descriptor", sectorSize).TooBig("%d bytes do not fit in %d sectors", len(text), descriptorSectors)
	}
	copy(front[sectorSize:], text)
	if err := s.tape.put(front); err != nil { // it only gathers
		return nil, err
	}
	return &streamWriter{newWriter(s, s.size), s}, nil
}

func (s *stream) header(directory uint64) *sparseHeader {
	return &sparseHeader{
		Magic: sparseMagic, Version: versionStream, Flags: flagNewlineTest | flagCompressed | flagMarkers,
		Capacity: uint64(s.size / sectorSize), GrainSize: defaultGrainSectors, TableEntries: defaultTableEntries,
		DescriptorOffset: 1, DescriptorSize: descriptorSectors,
		GDOffset: directory, OverHead: streamOverhead,
		NewlineTest: newlineTest, Compression: compressionDeflate,
	}
}

// put packs the grains that came in by WriteAt.
func (s *stream) put(p []byte, off int64) error {
	for len(p) > 0 {
		plain := p[:min(len(p), grainBytes)]
		if !ondisk.IsZero(plain) {
			record, err := s.pack(s.scratch, off, wholeGrain(plain))
			if err != nil {
				return err
			}
			s.scratch = record
			if err := s.store(record, off); err != nil {
				return err
			}
		}
		p, off = p[len(plain):], off+int64(len(plain))
	}
	return nil
}

// wholeGrain fills the last grain of a disk up with zeros: VMware and QEMU read
// shorter ones as well, but 7-Zip does not.
func wholeGrain(p []byte) []byte {
	if len(p) == grainBytes {
		return p
	}
	return append(make([]byte, 0, grainBytes), p...)[:grainBytes]
}

// store appends the record of the grain at off.
func (s *stream) store(record []byte, off int64) error {
	if i := off / tableSpan; i != s.at {
		if err := s.endTable(); err != nil {
			return err
		}
		s.at = i
	}
	binary.LittleEndian.PutUint32(s.table[off%tableSpan/grainBytes*tableEntrySize:], uint32(s.sector()))
	return s.tape.put(record)
}

// endTable appends the table being filled. Those that map nothing are left out.
func (s *stream) endTable() error {
	if s.at < 0 {
		return nil
	}
	place, err := s.metadata(markerTable, s.table)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(s.directory[s.at*tableEntrySize:], uint32(place))
	clear(s.table)
	return nil
}

// metadata appends a marker and what it announces, and tells where that begins.
func (s *stream) metadata(kind uint32, p []byte) (sector int64, err error) {
	var m [markerSize]byte
	binary.LittleEndian.PutUint64(m[:], uint64(ondisk.DivUp(int64(len(p)), sectorSize)))
	binary.LittleEndian.PutUint32(m[12:], kind)
	if err := s.tape.put(m[:]); err != nil {
		return 0, err
	}
	sector = s.sector()
	return sector, s.tape.put(p)
}

// finish appends directory, footer and end, and the first sector if it was held
// back.
func (s *stream) finish() error {
	if err := s.endTable(); err != nil {
		return err
	}
	if len(s.directory) == 0 {
		s.directory = zeroSector[:]
	}
	place, err := s.metadata(markerGD, s.directory)
	if err != nil {
		return err
	}
	if _, err := s.metadata(markerFooter, s.header(uint64(place)).appendTo(nil)); err != nil {
		return err
	}
	if _, err := s.metadata(markerEOS, nil); err != nil {
		return err
	}
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.sink.Sync(); err != nil || !s.sink.Seekable() {
		return err
	}
	if _, err := s.sink.WriteAt(s.header(gdAtEnd).appendTo(nil), 0); err != nil {
		return err
	}
	return s.sink.Sync()
}

// streamWriter is the writer of a stream: a block is a grain.
type streamWriter struct {
	*writer
	stream *stream
}

var _ imagefmt.PackedWriter = (*streamWriter)(nil)

// BlockSize is 64 KiB.
func (w *streamWriter) BlockSize() int { return grainBytes }

// Encode packs a grain. The record of one that does not shrink is up to 1 KiB
// longer than the grain; dst should have that room. The last one of a disk may be
// short.
func (w *streamWriter) Encode(dst []byte, off int64, plain []byte) (imagefmt.Block, error) {
	b := imagefmt.Block{Off: off, Len: len(plain)}
	if err := w.checkGrain(off, int64(len(plain))); err != nil {
		return b, err
	}
	if ondisk.IsZero(plain) {
		b.Zero = true
		return b, nil
	}
	var err error
	b.Data, err = w.stream.pack(dst, off, wholeGrain(plain))
	b.Packed = true
	return b, err
}

// Adopt takes a grain that another image packed with deflate. It unpacks it, to
// make the checksum of the zlib frame, so that broken data is noticed here.
func (w *streamWriter) Adopt(dst []byte, p imagefmt.PackedBlock) (imagefmt.Block, bool, error) {
	b := imagefmt.Block{Off: p.Off, Len: p.Len, Packed: true}
	if p.Codec != imagefmt.Deflate || w.checkGrain(p.Off, int64(p.Len)) != nil {
		return b, false, nil
	}
	var ok bool
	var err error
	b.Data, ok, err = w.stream.adopt(dst, p)
	if ok && b.Data == nil {
		b.Packed, b.Zero = false, true
	}
	return b, ok, err
}

// checkGrain wants a whole grain. The last one may lack the bytes that fill up
// the last sector of the disk.
func (w *streamWriter) checkGrain(off, n int64) error {
	if off >= 0 && off%grainBytes == 0 && off < w.ascent.Size {
		length := grainLength(off, w.ascent.Size)
		if n == length || n < length && n > length-sectorSize && off+length == w.ascent.Size {
			return nil
		}
	}
	return fmt.Errorf("vmdk: block %d+%d is no grain of a disk of %d bytes", off, n, w.ascent.Size)
}

// Append stores a grain that Encode or Adopt made.
func (w *streamWriter) Append(b imagefmt.Block) error {
	if err := w.checkGrain(b.Off, int64(b.Len)); err != nil {
		return err
	}
	if err := w.ascent.Admit(b.Off, int64(b.Len)); err != nil {
		return err
	}
	err := w.endPart()
	if err == nil && !b.Zero {
		err = w.store(b)
	}
	return w.ascent.Keep(err)
}

func (w *streamWriter) store(b imagefmt.Block) error {
	if len(b.Data) <= grainMarkerSize || len(b.Data)%sectorSize != 0 || binary.LittleEndian.Uint64(b.Data) != uint64(b.Off/sectorSize) {
		return fmt.Errorf("vmdk: %d bytes are no record of the grain at %d", len(b.Data), b.Off)
	}
	return w.stream.store(b.Data, b.Off)
}
