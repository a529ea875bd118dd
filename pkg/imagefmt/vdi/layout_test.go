package vdi

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestLayout(t *testing.T) {
	if got := binary.Size(diskHeader{}); got != diskHeaderSize {
		t.Errorf("the header has %#x bytes", got)
	}
	var d diskHeader
	raw := make([]byte, diskHeaderSize)
	copy(raw[offAllocated:], []byte{1})
	copy(raw[offModification:], []byte{2})
	if _, err := binary.Decode(raw, binary.LittleEndian, &d); err != nil || d.Allocated != 1 || d.Modification[0] != 2 {
		t.Errorf("fields that are patched lie elsewhere: %v, %+v", err, d)
	}
}

func TestUUID(t *testing.T) {
	u := uuid{0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	if got := u.String(); got != "00112233-4455-6677-8899-aabbccddeeff" {
		t.Error(got)
	}
	seed := bytes.NewReader(bytes.Repeat([]byte{0xff}, 32))
	image, modification, err := identities(seed, 1)
	if err != nil || image.String() != "ffffffff-ffff-4fff-bfff-ffffffffffff" || seed.Len() != 0 {
		t.Errorf("%s, %v", image, err)
	}
	if modification.next() == modification || modification.next() != modification.next() {
		t.Error("the next state must have another UUID, and always the same")
	}
	if _, _, err := identities(seed, 1); err == nil {
		t.Error("randomness that ended gave a UUID")
	}
	a, b, _ := identities(nil, 1<<20)
	if c, _, _ := identities(nil, 2<<20); a == b || a == c || a == (uuid{}) {
		t.Error("UUIDs repeat")
	}
}
