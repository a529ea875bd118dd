package luks

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"iter"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Small containers made here, to be broken. That they are right is not in question:
// what cryptsetup makes is read in other tests.

const (
	madeLen   = 256 << 10
	madeArea  = 40 << 10
	madeData  = 64 << 10
	madeKey   = "geheim"
	madeTimes = 10
)

// cheap are limits that a made container just keeps.
var cheap = ondisk.Limits{KeyRounds: 100, KeyMemory: 64 << 10}

// material hides key in stripes, encrypted under wrapping.
func material(key []byte, stripes int, wrapping []byte) []byte {
	p := noise(len(key)*stripes, 5)
	last := p[len(key)*(stripes-1):]
	clear(last)
	h, _ := hashOf("sha256")
	copy(last, merge(p, len(key), stripes, h()))
	for i := range key {
		last[i] ^= key[i]
	}
	p = append(p, make([]byte, -len(p)&(sector-1))...)
	s, err := newSectors("aes-xts-plain64", wrapping, sector)
	if err != nil {
		panic(err)
	}
	s.encrypt(p, 0)
	return p
}

func derived(secret, salt []byte, n int) []byte {
	k := kdf{kind: pbkdf2Kind, hash: "sha256", salt: salt, rounds: madeTimes}
	out, err := k.derive(context.Background(), secret, n)
	if err != nil {
		panic(err)
	}
	return out
}

// fill encrypts text at the start of the data.
func fill(p, key []byte, text string) {
	s, err := newSectors("aes-xts-plain64", key, sector)
	if err != nil {
		panic(err)
	}
	data := p[madeData:]
	copy(data, text)
	s.encrypt(data, 0)
}

func made1() []byte {
	p, key := make([]byte, madeLen), noise(64, 6)
	h := header1{Version: 1, DataOffset: madeData / sector, KeyBytes: 64, DigestIter: madeTimes}
	copy(h.Magic[:], magicFirst)
	copy(h.Cipher[:], "aes")
	copy(h.Mode[:], "xts-plain64")
	copy(h.Hash[:], "sha256")
	copy(h.UUID[:], "00000000-1111-2222-3333-444444444444")
	copy(h.Digest[:], derived(key, h.DigestSalt[:], 20))
	h.Slots[2] = slot1{Active: slotOn, Iter: madeTimes, Offset: madeArea / sector, Stripes: 40}
	copy(p[madeArea:], material(key, 40, derived([]byte(madeKey), h.Slots[2].Salt[:], 64)))
	binary.Encode(p, be, h)
	fill(p, key, "one")
	return p
}

const text2 = `{"keyslots":{"0":{"type":"luks2","key_size":64,"af":{"type":"luks1","stripes":40,"hash":"sha256"},
"area":{"type":"raw","offset":"40960","size":"4096","encryption":"aes-xts-plain64","key_size":64},
"kdf":{"type":"pbkdf2","hash":"sha256","iterations":10,"salt":"AAAA"}}},"tokens":{},
"segments":{"0":{"type":"crypt","offset":"65536","size":"dynamic","iv_tweak":"0","encryption":"aes-xts-plain64","sector_size":512}},
"digests":{"0":{"type":"pbkdf2","keyslots":["0"],"segments":["0"],"hash":"sha256","iterations":10,"salt":"AAAA","digest":"@"}},
"config":{"json_size":"12288","keyslots_size":"4096"}}`

// made2 has a text with each pair replaced, old and new.
func made2(replace ...string) []byte {
	p, key := make([]byte, madeLen), noise(64, 6)
	salt := make([]byte, 3)
	text := strings.Replace(text2, "@", base64.StdEncoding.EncodeToString(derived(key, salt, 32)), 1)
	text = strings.NewReplacer(replace...).Replace(text)
	for i, at := range []int{0, 16 << 10} {
		h := header2{Version: 2, Size: 16 << 10, Sequence: 7, Offset: uint64(at)}
		copy(h.Magic[:], []string{magicFirst, magicOther}[i])
		copy(h.SumAlg[:], "sha256")
		copy(h.UUID[:], "00000000-1111-2222-3333-444444444444")
		copy(h.Label[:], "label")
		binary.Encode(p[at:], be, h)
		copy(p[at+header2Len:at+16<<10], text)
	}
	seal(p)
	copy(p[madeArea:], material(key, 40, derived([]byte(madeKey), salt, 64)))
	fill(p, key, "two")
	return p
}

// seal makes the checksums of both headers right.
func seal(p []byte) {
	for _, at := range []int{0, 16 << 10} {
		head := p[at : at+16<<10]
		if sum, err := checksum(head, cstring(head[72:104])); err == nil {
			clear(head[sumOff : sumOff+sumLen])
			copy(head[sumOff:], sum)
		}
	}
}

type result struct {
	volumes []volume.Volume
	notices []string
	locked  error
}

func mapMade(t testing.TB, p []byte, keys ...string) (r result) {
	t.Helper()
	var err error
	r.volumes, err = Mapper{}.Map(context.Background(), []blockdev.Device{blockdev.FromBytes(p)}, volume.Options{
		Limits: cheap, Keys: ringOf(keys...), Members: []volume.Volume{{ID: "sda2", Names: []string{"/dev/other"}}},
		Notice: func(s string) { r.notices = append(r.notices, s) }, Locked: func(_ int, why error) { r.locked = why },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ringOf(keys ...string) *volume.Keyring {
	return volume.NewKeyring(func(volume.Locked) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for _, k := range keys {
				if !yield([]byte(k), nil) {
					return
				}
			}
		}
	})
}

// content is the beginning of the one volume; empty when there is none.
func (r result) content() string {
	if len(r.volumes) != 1 {
		return ""
	}
	p := make([]byte, 3)
	if _, err := r.volumes[0].Device.ReadAt(p, 0); err != nil {
		return err.Error()
	}
	return string(p)
}

func TestMade(t *testing.T) {
	for _, c := range []struct {
		p    []byte
		want string
	}{{made1(), "one"}, {made2(), "two"}} {
		r := mapMade(t, c.p, "wrong", madeKey)
		if r.content() != c.want || r.locked != nil || len(r.notices) > 0 {
			t.Errorf("%q, %q, %v", r.content(), r.notices, r.locked)
		}
		v := r.volumes[0]
		if v.ID != "luks-00000000-1111-2222-3333-444444444444" || v.Names[0] != "/dev/mapper/"+v.ID || v.Len != madeLen-madeData || v.Whole || v.Number != -1 {
			t.Errorf("%+v", v)
		}
		for keys, want := range map[string]int{"": 0, "a": 1, "a b": 2} {
			r := mapMade(t, c.p, strings.Fields(keys)...)
			var key *volume.KeyError
			if !asKeyError(r.locked, &key) || key.Tried != want || !key.Is("sda2") || !key.Is("/dev/sda2") || !key.Is("/dev/other") || !key.Is(v.UUID) || !key.Is("UUID="+strings.ToUpper(v.UUID)) || !key.Is("all") || key.Is("sda") || key.Is("") {
				t.Errorf("%q: %v", keys, r.locked)
			}
		}
	}
}

// TestRemembers: the keys of a ring are asked for once.
func TestRemembers(t *testing.T) {
	asked := 0
	ring := volume.NewKeyring(func(volume.Locked) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) { asked++; yield([]byte(madeKey), nil) }
	})
	for range 3 {
		for _, p := range [][]byte{made1(), made2()} {
			vols, err := Mapper{}.Map(context.Background(), []blockdev.Device{blockdev.FromBytes(p)}, volume.Options{Keys: ring})
			if err != nil || len(vols) != 1 {
				t.Fatal(vols, err)
			}
		}
	}
	if asked != 1 { // both have one UUID and one key
		t.Errorf("asked %d times", asked)
	}
}

func TestLayoutSizes(t *testing.T) {
	if n := binary.Size(header1{}); n != header1Len {
		t.Errorf("header1 has %d bytes", n)
	}
	if n := binary.Size(header2{}); n != header2Len {
		t.Errorf("header2 has %d bytes", n)
	}
}

// TestCopies: of LUKS2's headers the newer good one counts.
func TestCopies(t *testing.T) {
	second := 16 << 10
	older := made2("sector_size\":512", "sector_size\":777") // what it says must not count
	copy(older[second:2*second], made2()[second:])
	be.PutUint64(older[second+16:], 8)
	seal(older)
	for _, c := range []struct {
		name    string
		p       func() []byte
		match   ondisk.Match
		notices int
		want    string
	}{
		{"first magic", func() []byte { p := made2(); clear(p[:6]); return p }, ondisk.Maybe, 1, "two"},
		{"first zeros", func() []byte { p := made2(); clear(p[:second]); return p }, ondisk.Maybe, 1, "two"},
		{"first overwritten", func() []byte { p := made2(); copy(p, noise(4096, 1)); return p }, ondisk.None, 1, ""},
		{"first text", func() []byte { p := made2(); p[5000]++; return p }, ondisk.Sure, 1, "two"},
		{"second", func() []byte { p := made2(); clear(p[second : second+4096]); return p }, ondisk.Sure, 1, "two"},
		{"second newer", func() []byte { return older }, ondisk.Sure, 0, "two"},
		{"both", func() []byte { p := made2(); p[5000]++; p[second+5000]++; return p }, ondisk.Sure, 1, ""},
		{"both magics", func() []byte { p := made2(); clear(p[:6]); clear(p[second : second+6]); return p }, ondisk.None, 1, ""},
	} {
		p := c.p()
		if m, err := (Mapper{}).Probe(blockdev.FromBytes(p)); m != c.match || err != nil {
			t.Errorf("%s: %v, %v", c.name, m, err)
		}
		r := mapMade(t, p, madeKey)
		if r.content() != c.want || len(r.notices) != c.notices || (r.locked == nil) != (c.want != "") {
			t.Errorf("%s: %q, %q, %v", c.name, r.content(), r.notices, r.locked)
		}
	}
}
