package luks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func asKeyError(err error, to **volume.KeyError) bool {
	return errors.As(err, to) && errors.Is(err, ondisk.ErrEncrypted)
}

// TestRefusals2: what a text of LUKS2 may not say, and what is said about it.
func TestRefusals2(t *testing.T) {
	many := `"keyslots":{`
	for i := range 40 {
		many += fmt.Sprintf(`"x%d":{},`, i)
	}
	for _, c := range []struct {
		name, old, new string
		is             error
		words          string
	}{
		{"no text", text2[:1], "", ondisk.ErrCorrupt, ""},
		{"deep", `"tokens":{}`, `"tokens":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000), ondisk.ErrTooBig, "deep"},
		{"wide", `"tokens":{}`, `"tokens":[` + strings.Repeat("[],", 2500) + "[]]", ondisk.ErrTooBig, "objects"},
		{"not closed", `"tokens":{}`, `"tokens":{`, ondisk.ErrCorrupt, ""},
		{"many slots", `"keyslots":{`, many, ondisk.ErrTooBig, "41"},
		{"argon2 memory", `"pbkdf2","hash":"sha256","iterations":10,"salt":"AAAA"}}}`,
			`"argon2id","time":4,"memory":4194305,"cpus":4,"salt":"AAAA"}}}`, ondisk.ErrTooBig, "4194305 KiB"},
		{"argon2 time", `"pbkdf2","hash":"sha256","iterations":10,"salt":"AAAA"}}}`,
			`"argon2i","time":2000000000,"memory":64,"cpus":4,"salt":"AAAA"}}}`, ondisk.ErrTooBig, "rounds"},
		{"argon2 overflow", `"pbkdf2","hash":"sha256","iterations":10,"salt":"AAAA"}}}`,
			`"argon2i","time":9223372036854775807,"memory":64,"cpus":4,"salt":"AAAA"}}}`, ondisk.ErrCorrupt, "rounds"},
		{"argon2 lanes", `"pbkdf2","hash":"sha256","iterations":10,"salt":"AAAA"}}}`,
			`"argon2i","time":1,"memory":64,"cpus":0,"salt":"AAAA"}}}`, ondisk.ErrCorrupt, "lanes"},
		{"pbkdf2 rounds", `"iterations":10,"salt":"AAAA"}}}`, `"iterations":4294967295,"salt":"AAAA"}}}`, ondisk.ErrTooBig, "4294967295"},
		{"no rounds", `"iterations":10,"salt":"AAAA"}}}`, `"iterations":0,"salt":"AAAA"}}}`, ondisk.ErrCorrupt, "0 rounds"},
		{"digest rounds", `"iterations":10,"salt":"AAAA","digest"`, `"iterations":4294967295,"salt":"AAAA","digest"`, ondisk.ErrTooBig, "4294967295"},
		{"kdf", `{"type":"pbkdf2","hash":"sha256","iterations":10,"salt":"AAAA"}}}`, `{"type":"scrypt","time":1}}}`, ondisk.ErrUnsupported, "scrypt"},
		{"stripes", `"stripes":40`, `"stripes":2147483647`, ondisk.ErrCorrupt, "stripes"},
		{"negative stripes", `"stripes":40`, `"stripes":-1`, ondisk.ErrCorrupt, "stripes"},
		{"stripes and area", `"stripes":40`, `"stripes":100`, ondisk.ErrCorrupt, "area"},
		{"key size", `"key_size":64,"af"`, `"key_size":1000000000,"af"`, ondisk.ErrUnsupported, "1000000000"},
		{"area key", `"aes-xts-plain64","key_size":64}`, `"aes-xts-plain64","key_size":7}`, ondisk.ErrUnsupported, "7 bytes"},
		{"area offset", `"offset":"40960"`, `"offset":"9223372036854775296"`, ondisk.ErrCorrupt, "beyond"},
		{"area text", `"offset":"40960"`, `"offset":"40961"`, ondisk.ErrCorrupt, "40961"},
		{"digest length", `"digest":"`, `"digest":"AAAA`, ondisk.ErrUnsupported, "digest"},
		{"no digest", `"keyslots":["0"]`, `"keyslots":["1"]`, ondisk.ErrCorrupt, "no keyslot"},
		{"hash", `"stripes":40,"hash":"sha256"`, `"stripes":40,"hash":"whirlpool"`, ondisk.ErrUnsupported, "whirlpool"},
		{"cipher", `"iv_tweak":"0","encryption":"aes-xts-plain64"`, `"iv_tweak":"0","encryption":"serpent-xts-plain64"`, ondisk.ErrUnsupported, "serpent"},
		{"mode", `"iv_tweak":"0","encryption":"aes-xts-plain64"`, `"iv_tweak":"0","encryption":"aes-ecb"`, ondisk.ErrUnsupported, "aes-ecb"},
		{"essiv", `"iv_tweak":"0","encryption":"aes-xts-plain64"`, `"iv_tweak":"0","encryption":"aes-xts-essiv:sha256"`, ondisk.ErrUnsupported, "essiv"},
		{"null", `"iv_tweak":"0","encryption":"aes-xts-plain64"`, `"iv_tweak":"0","encryption":"cipher_null-ecb"`, ondisk.ErrUnsupported, "cipher_null"},
		{"integrity", `"iv_tweak"`, `"integrity":{"type":"hmac(sha256)"},"iv_tweak"`, ondisk.ErrUnsupported, "integrity"},
		{"opal", `"type":"crypt"`, `"type":"hw-opal"`, ondisk.ErrUnsupported, "hw-opal"},
		{"requirement", `"json_size"`, `"requirements":{"mandatory":["online-reencrypt-v2"]},"json_size"`, ondisk.ErrUnsupported, "online-reencrypt-v2"},
		{"reencryption", `"keyslots":{`, `"keyslots":{"1":{"type":"reencrypt"},`, ondisk.ErrUnsupported, "anew"},
		{"two segments", `"segments":{`, `"segments":{"1":{},`, ondisk.ErrUnsupported, "anew"},
		{"no segment", `"segments":{"0"`, `"segments":{},"x":{"0"`, ondisk.ErrCorrupt, "no segment"},
		{"detached", `"offset":"65536"`, `"offset":"0"`, ondisk.ErrUnsupported, "detached"},
		{"data offset", `"offset":"65536"`, `"offset":"1073741824"`, ondisk.ErrCorrupt, "beyond"},
		{"data offset wraps", `"offset":"65536"`, `"offset":"18446744073709551104"`, ondisk.ErrCorrupt, "sectors"},
		{"data size", `"size":"dynamic"`, `"size":"1073741824"`, ondisk.ErrCorrupt, "beyond"},
		{"data size negative", `"size":"dynamic"`, `"size":"-512"`, ondisk.ErrCorrupt, "-512"},
		{"data size odd", `"size":"dynamic","iv_tweak":"0","encryption":"aes-xts-plain64","sector_size":512`,
			`"size":"512","iv_tweak":"0","encryption":"aes-xts-plain64","sector_size":4096`, ondisk.ErrCorrupt, "whole sectors"},
		{"tweak", `"iv_tweak":"0"`, `"iv_tweak":"x"`, ondisk.ErrCorrupt, "iv_tweak"},
		{"sector", `"sector_size":512`, `"sector_size":8192`, ondisk.ErrCorrupt, "8192"},
		{"sector 3", `"sector_size":512`, `"sector_size":1536`, ondisk.ErrCorrupt, "1536"},
		{"number", `"sector_size":512`, `"sector_size":1e300`, ondisk.ErrCorrupt, ""},
	} {
		p := made2(c.old, c.new)
		r := mapMade(t, p, madeKey)
		if len(r.volumes) != 0 || !errors.Is(r.locked, c.is) || !strings.Contains(fmt.Sprint(r.locked), c.words) || len(r.notices) != 1 {
			t.Errorf("%s: %d volumes, %v, %q", c.name, len(r.volumes), r.locked, r.notices)
		}
		if m, err := (Mapper{}).Probe(blockdev.FromBytes(p)); m != ondisk.Sure || err != nil {
			t.Errorf("%s: %v, %v", c.name, m, err)
		}
	}
}

// TestTweak: a number that wraps is no harm.
func TestTweak(t *testing.T) {
	r := mapMade(t, made2(`"iv_tweak":"0"`, `"iv_tweak":"18446744073709551615"`), madeKey)
	if len(r.volumes) != 1 || r.content() == "two" {
		t.Errorf("%v", r)
	}
}

// TestOneGoodSlot: slots that cannot be used do not hide the others.
func TestOneGoodSlot(t *testing.T) {
	bad := `"keyslots":{"1":{"type":"luks2","key_size":64,"priority":2,"kdf":{"type":"argon2id","time":1,"memory":4194304000,"cpus":4},
		"area":{"type":"raw","offset":"512","size":"512","key_size":64},"af":{"type":"luks1","stripes":1,"hash":"sha256"}},`
	p := made2(`"keyslots":{`, bad, `"keyslots":["0"]`, `"keyslots":["0","1"]`)
	if r := mapMade(t, p, madeKey); r.content() != "two" || len(r.notices) > 0 {
		t.Errorf("%v", r)
	}
	if r := mapMade(t, p, "wrong"); len(r.notices) != 2 || !strings.Contains(r.notices[0], "sda2: keyslot 1 was not tried") {
		t.Errorf("%q", r.notices)
	}
}

// TestRefusals1: the same for LUKS1.
func TestRefusals1(t *testing.T) {
	at := 208 + 2*48
	for _, c := range []struct {
		name   string
		damage func(p []byte)
		is     error
		words  string
	}{
		{"version", func(p []byte) { p[7] = 3 }, ondisk.ErrUnsupported, "3"},
		{"no slot", func(p []byte) { clear(p[at : at+4]) }, ondisk.ErrCorrupt, "no keyslot"},
		{"stripes", func(p []byte) { be.PutUint32(p[at+44:], 1<<32-1) }, ondisk.ErrCorrupt, "stripes"},
		{"no stripes", func(p []byte) { be.PutUint32(p[at+44:], 0) }, ondisk.ErrCorrupt, "stripes"},
		{"key length", func(p []byte) { be.PutUint32(p[108:], 1<<31) }, ondisk.ErrUnsupported, "key"},
		{"material", func(p []byte) { be.PutUint32(p[at+40:], 1<<32-1) }, ondisk.ErrCorrupt, "beyond"},
		{"rounds", func(p []byte) { be.PutUint32(p[at+4:], 1<<32-1) }, ondisk.ErrTooBig, "rounds"},
		{"digest rounds", func(p []byte) { be.PutUint32(p[164:], 1<<32-1) }, ondisk.ErrTooBig, "rounds"},
		{"data", func(p []byte) { be.PutUint32(p[104:], 1<<32-1) }, ondisk.ErrCorrupt, "beyond"},
		{"detached", func(p []byte) { be.PutUint32(p[104:], 0) }, ondisk.ErrUnsupported, "detached"},
		{"cipher", func(p []byte) { copy(p[8:], "twofish\x00") }, ondisk.ErrUnsupported, "twofish"},
		{"hash", func(p []byte) { copy(p[72:], "whirlpool\x00") }, ondisk.ErrUnsupported, "whirlpool"},
	} {
		p := made1()
		c.damage(p)
		r := mapMade(t, p, madeKey)
		if len(r.volumes) != 0 || !errors.Is(r.locked, c.is) || !strings.Contains(fmt.Sprint(r.locked), c.words) {
			t.Errorf("%s: %d volumes, %v", c.name, len(r.volumes), r.locked)
		}
	}
	for n := range 9000 {
		if n > 700 && n%500 != 0 {
			continue
		}
		p := made1()[:n]
		if r := mapMade(t, p, madeKey); len(r.volumes) != 0 {
			t.Fatalf("%d bytes have a volume", n)
		}
		if _, err := (Mapper{}).Probe(blockdev.FromBytes(p)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNames: what an image calls itself does not get into names.
func TestNames(t *testing.T) {
	p := made1()
	copy(p[168:], "../../etc/\x1b[2J")
	r := mapMade(t, p, madeKey)
	if len(r.volumes) != 1 || r.volumes[0].ID != "luks-sda2" || r.volumes[0].UUID != "" {
		t.Errorf("%+v", r.volumes)
	}
}

// use reads what came out of a broken container.
func use(t *testing.T, p []byte) {
	dev := blockdev.FromBytes(p)
	Mapper{}.Probe(dev)
	vols, err := Mapper{}.Map(context.Background(), []blockdev.Device{dev}, volume.Options{Limits: cheap, Keys: ringOf(madeKey)})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vols {
		buf := make([]byte, 3000)
		v.Device.ReadAt(buf, 0)
		v.Device.ReadAt(buf, v.Len-1000)
		for _, s := range v.Spans(0, v.Len) {
			if !ondisk.InRange(s.Off, s.Len, int64(len(p))) {
				t.Fatalf("span %v", s)
			}
		}
	}
}

// FuzzHeader1 breaks the header of LUKS1.
func FuzzHeader1(f *testing.F) {
	good := made1()
	f.Add(good[:header1Len])
	f.Fuzz(func(t *testing.T, head []byte) {
		p := bytes.Clone(good)
		copy(p[:header1Len], head)
		copy(p, magicFirst)
		use(t, p)
	})
}

// FuzzHeader2 breaks both headers of LUKS2 and their texts, and seals them.
func FuzzHeader2(f *testing.F) {
	const second = 16 << 10
	good := made2()
	text := strings.TrimRight(string(good[header2Len:second]), "\x00")
	f.Add(good[:checkedLen], text, good[second:second+checkedLen], text)
	f.Add(good[:checkedLen], "", good[second:second+checkedLen], text)
	for _, kind := range []string{`"argon2id","time":1,"memory":32,"cpus":1,`, `"argon2i","time":2,"memory":40,"cpus":2,`} {
		f.Add(good[:checkedLen], strings.Replace(text, `"pbkdf2",`, kind, 1), good[second:second+checkedLen], text)
	}
	f.Fuzz(func(t *testing.T, head []byte, text string, head2 []byte, text2 string) {
		p := bytes.Clone(good)
		copy(p[:checkedLen], head)
		copy(p[second:second+checkedLen], head2)
		for at, s := range map[int]string{header2Len: text, second + header2Len: text2} {
			area := p[at : at+second-header2Len]
			clear(area)
			copy(area, s)
		}
		seal(p)
		use(t, p)
	})
}
