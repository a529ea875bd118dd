package blockdev

import "bytes"

// FromBytes is a device over a slice that nobody changes any more: the content
// of a small file, mostly.
func FromBytes(p []byte) Device {
	return &memory{bytes.NewReader(p)}
}

type memory struct{ reader *bytes.Reader }

func (m *memory) Size() int64                             { return m.reader.Size() }
func (m *memory) ReadAt(p []byte, off int64) (int, error) { return m.reader.ReadAt(p, off) }
