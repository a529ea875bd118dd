package osfile

import (
	"encoding/binary"
	"testing"
)

func TestLayoutSizes(t *testing.T) {
	if n := binary.Size(logHeader{}); n != logHeaderSize {
		t.Errorf("header: %d bytes, want %d", n, logHeaderSize)
	}
	if n := binary.Size(recordHeader{}); n != recordHeaderSize {
		t.Errorf("record: %d bytes, want %d", n, recordHeaderSize)
	}
}
