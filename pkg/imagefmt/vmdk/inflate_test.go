//go:build linux

package vmdk

import (
	"bytes"
	"compress/flate"
	"io"
)

// inflateRaw unpacks deflated data without a frame.
func inflateRaw(dst, data []byte) error {
	_, err := io.ReadFull(flate.NewReader(bytes.NewReader(data)), dst)
	return err
}
