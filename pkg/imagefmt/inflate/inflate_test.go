package inflate

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand"
	"testing"
)

// samples are plain texts of several kinds and lengths.
func samples() [][]byte {
	rng := rand.New(rand.NewSource(1))
	var out [][]byte
	for _, n := range []int{0, 1, 7, 300, 4096, 65536, 200_000} {
		noise := make([]byte, n)
		rng.Read(noise)
		text := make([]byte, n)
		for i := range text {
			text[i] = "the quick brown fox jumps over the lazy dog\n"[(i+i*i/977)%44]
		}
		skewed := make([]byte, n)
		for i := range skewed {
			skewed[i] = byte(rng.ExpFloat64() * 9)
		}
		mixed := bytes.Clone(text)
		for i := 0; i+500 < n; i += 1000 {
			copy(mixed[i:i+500], noise[i:])
		}
		out = append(out, noise, text, skewed, mixed, make([]byte, n), bytes.Repeat([]byte("abc"), n/3))
	}
	return out
}

func pack(t testing.TB, plain []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestDecode decodes what the standard library has encoded, at all levels.
func TestDecode(t *testing.T) {
	var d Decoder
	for k, plain := range samples() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
			stream := append(pack(t, plain, level), "what follows"...)
			got := make([]byte, len(plain)+100)
			n, err := d.Decode(got, stream)
			if err != nil || !bytes.Equal(got[:n], plain) {
				t.Errorf("sample %d, level %d: %d of %d bytes, %v", k, level, n, len(plain), err)
			}
			half := make([]byte, len(plain)/2)
			if n, err := d.Decode(half, stream); n != len(half) || err != nil || !bytes.Equal(half, plain[:n]) {
				t.Errorf("sample %d, level %d: half of it: %d bytes, %v", k, level, n, err)
			}
		}
	}
}

// TestCut wants an error wherever a stream ends early.
func TestCut(t *testing.T) {
	var d Decoder
	plain := samples()[21]
	for _, level := range []int{0, 1, 9} {
		stream := pack(t, plain, level)
		got := make([]byte, len(plain)+1)
		for n := range stream {
			if m, err := d.Decode(got, stream[:n]); err == nil {
				t.Errorf("level %d: %d of %d bytes: %d, %v", level, n, len(stream), m, err)
			}
		}
	}
}

// FuzzDecode holds every stream against the standard library: the same bytes, and
// an error where it has one.
func FuzzDecode(f *testing.F) {
	for _, plain := range samples()[:24] {
		f.Add(pack(f, plain, 6))
		f.Add(pack(f, plain, 1))
	}
	var d Decoder
	f.Fuzz(func(t *testing.T, stream []byte) {
		const most = 1 << 17
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(stream)), most))
		got := make([]byte, most)
		n, err := d.Decode(got, stream)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("error %v; the standard library has %v", err, wantErr)
		}
		if err == nil && n != len(want) {
			t.Fatalf("%d bytes; the standard library has %d", n, len(want))
		}
		if k := min(n, len(want)); !bytes.Equal(got[:k], want[:k]) {
			t.Fatalf("the bytes differ from the standard library's")
		}
	})
}

// BenchmarkDecode decodes 64 KiB again and again.
func BenchmarkDecode(b *testing.B) {
	kinds := []string{"noise", "text", "skewed", "mixed", "zeros", "abc"}
	for k, plain := range samples()[30:36] {
		b.Run(kinds[k], func(b *testing.B) {
			var d Decoder
			stream := pack(b, plain, 6)
			dst := make([]byte, len(plain))
			b.SetBytes(int64(len(plain)))
			for range b.N {
				if _, err := d.Decode(dst, stream); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
