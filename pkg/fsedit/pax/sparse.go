package pax

import (
	"bufio"
	"context"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys/content"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxSegments bounds what the writer keeps of one file.
const maxSegments = 1 << 20

// dataSegments is what of a file is no hole, in whole blocks: GNU tar pads each
// segment to them.
func dataSegments(ctx context.Context, dev blockdev.Device, size int64) ([]segment, error) {
	var out []segment
	for e, err := range blockdev.Extents(ctx, dev, 0, size) {
		if err != nil {
			return nil, err
		}
		if e.Kind == blockdev.Zero {
			continue
		}
		s := segment{off: ondisk.AlignDown(e.Off, blockSize)}
		s.len = min(size, ondisk.AlignUp(e.End(), blockSize)) - s.off
		if n := len(out); n > 0 && (out[n-1].end() >= s.off || n == maxSegments) {
			out[n-1].len = s.end() - out[n-1].off
			continue
		}
		out = append(out, s)
	}
	return out, nil
}

// appendMap writes a map of format 1.0. A segment of no bytes says where a file
// ends that ends in a hole.
func appendMap(dst []byte, data []segment, size int64) []byte {
	if n := len(data); n == 0 || data[n-1].end() < size {
		data = append(slices.Clip(data), segment{size, 0})
	}
	dst = append(strconv.AppendInt(dst, int64(len(data)), 10), '\n')
	for _, s := range data {
		dst = append(strconv.AppendInt(dst, s.off, 10), '\n')
		dst = append(strconv.AppendInt(dst, s.len, 10), '\n')
	}
	return append(dst, make([]byte, ondisk.AlignUp(int64(len(dst)), blockSize)-int64(len(dst)))...)
}

// readMap reads a map of format 1.0 from a member's data, and how long it is.
func readMap(data blockdev.Device, limit int) (out []segment, n int64, err error) {
	r := bufio.NewReader(blockdev.NewReader(data))
	number := func() (int64, error) {
		line, err := r.ReadSlice('\n')
		if n += int64(len(line)); err == io.EOF || err == bufio.ErrBufferFull {
			return 0, ondisk.Because(ondisk.ErrCorrupt, "the map of a sparse file ends early")
		}
		if err != nil {
			return 0, err
		}
		return parseDecimal(string(line[:len(line)-1]))
	}
	count, err := number()
	if err != nil {
		return nil, 0, err
	}
	if count > int64(limit) {
		return nil, 0, tooManySegments(limit)
	}
	for range count {
		off, err := number()
		if err != nil {
			return nil, 0, err
		}
		length, err := number()
		if err != nil {
			return nil, 0, err
		}
		out = append(out, segment{off, length})
	}
	return out, ondisk.AlignUp(n, blockSize), nil
}

func tooManySegments(limit int) error {
	return ondisk.Because(ondisk.ErrTooBig, "a sparse file of more than %d pieces", limit)
}

func parseDecimal(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, ondisk.Because(ondisk.ErrCorrupt, "%q is no number", s)
	}
	return int64(n), nil
}

// parseMap reads a map of format 0.1: "offset,length,offset,length".
func parseMap(s string, limit int) ([]segment, error) {
	if s == "" {
		return nil, nil
	}
	numbers := strings.SplitN(s, ",", 2*limit+1)
	if len(numbers)/2 > limit {
		return nil, tooManySegments(limit)
	}
	if len(numbers)%2 != 0 {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "the map of a sparse file has an odd number of entries")
	}
	out := make([]segment, len(numbers)/2)
	for i := range out {
		var err error
		if out[i].off, err = parseDecimal(numbers[2*i]); err != nil {
			return nil, err
		}
		if out[i].len, err = parseDecimal(numbers[2*i+1]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sparseFile shows the data of a member as the file of size bytes that it came
// from.
func sparseFile(data blockdev.Device, segments []segment, size int64) (blockdev.Device, error) {
	at, padded := int64(0), int64(0)
	last := int64(0)
	for i, s := range segments {
		if s.off < last || !ondisk.InRange(s.off, s.len, size) {
			return nil, ondisk.Because(ondisk.ErrCorrupt, "piece %d of a sparse file, %d bytes at %d, lies before the last one or beyond the end", i, s.len, s.off)
		}
		last = s.end()
		at, padded = at+s.len, padded+ondisk.AlignUp(s.len, blockSize)
	}
	unit := int64(1)
	if padded <= data.Size() { // each piece in whole blocks, as GNU tar writes them
		unit = blockSize
	} else if at > data.Size() {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "the pieces of a sparse file have %d bytes, the archive %d", at, data.Size())
	}
	places := make([]int64, len(segments))
	at = 0
	for i, s := range segments {
		places[i] = at
		at += ondisk.AlignUp(s.len, unit)
	}
	return content.New(data, size, func(off int64) (content.Run, error) {
		i := sort.Search(len(segments), func(i int) bool { return segments[i].end() > off })
		hole := content.Run{Off: off, Len: size - off, Hole: true}
		if i < len(segments) {
			s := segments[i]
			if s.off <= off {
				return content.Run{Off: s.off, Len: s.len, At: places[i]}, nil
			}
			hole.Len = s.off - off
		}
		return hole, nil
	}), nil
}
