package luks

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	other "golang.org/x/crypto/xts"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

func noise(n int, seed byte) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(p)
	return p
}

// TestXTS compares with the implementation of golang.org/x/crypto, on one core and
// on several.
func TestXTS(t *testing.T) {
	key := noise(64, 1)
	want, err := other.NewCipher(aes.NewCipher, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{512, 4096} {
		ours, err := newSectors("aes-xts-plain64", key, size)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{size, 3 * size, 1<<20 + 5*size} {
			plain := noise(n/size*size, 2)
			sealed := bytes.Clone(plain)
			for at := 0; at < len(sealed); at += size {
				want.Encrypt(sealed[at:at+size], sealed[at:at+size], 1<<33+uint64(at/512))
			}
			got := bytes.Clone(plain)
			ours.encrypt(got, 1<<33)
			if !bytes.Equal(got, sealed) {
				t.Errorf("%d bytes in sectors of %d are encrypted to something else", n, size)
			}
			ours.decrypt(got, 1<<33)
			if !bytes.Equal(got, plain) {
				t.Errorf("%d bytes in sectors of %d are decrypted to something else", n, size)
			}
		}
	}
}

// TestCBC compares with the standard library.
func TestCBC(t *testing.T) {
	key := noise(32, 1)
	data, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		iv   string
		unit uint64
		want []byte // initial vector
	}{
		{"plain64", 1<<32 + 5, []byte{5, 0, 0, 0, 1, 0, 0, 0, 15: 0}},
		{"plain", 1<<32 + 5, []byte{5, 15: 0}},
	} {
		s, err := newSectors("aes-cbc-"+c.iv, key, 1024)
		if err != nil {
			t.Fatal(err)
		}
		want, got := noise(1024, 3), noise(1024, 3)
		cipher.NewCBCEncrypter(data, c.want).CryptBlocks(want, want)
		s.encrypt(got, c.unit)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: encrypted to something else", c.iv)
		}
	}
}

// memory is a writable device in memory, which counts reads.
type memory struct {
	mu    sync.Mutex
	p     []byte
	reads int
}

func (m *memory) Size() int64 { return int64(len(m.p)) }
func (m *memory) Sync() error { return nil }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	n := copy(p, m.p[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(m.p[off:], p), nil
}

func opened(t testing.TB, size, sector int) (*memory, *writableDevice) {
	cipher, err := newSectors("aes-xts-plain64", noise(64, 9), sector)
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{p: make([]byte, size+4096)}
	return m, newDevice(m, segment{off: 4096, size: int64(size), sector: sector}, cipher).able().(*writableDevice)
}

// TestReads: aligned runs are one read below, short ones too.
func TestReads(t *testing.T) {
	m, d := opened(t, 2<<20, 4096)
	for _, c := range []struct{ off, n, reads int }{
		{0, 2 << 20, 1}, {4096, 1 << 20, 1}, {1, 4095, 1}, {4095, 2, 1}, {100, 100 << 10, 1}, {0, 4097, 2}, {100, 1 << 20, 3},
	} {
		m.reads = 0
		if _, err := d.ReadAt(make([]byte, c.n), int64(c.off)); err != nil || m.reads != c.reads {
			t.Errorf("%d bytes at %d: %d reads, not %d (%v)", c.n, c.off, m.reads, c.reads, err)
		}
	}
	p := make([]byte, 10)
	if n, err := d.ReadAt(p, 2<<20-4); n != 4 || err != io.EOF {
		t.Errorf("over the end: %d, %v", n, err)
	}
	if n, err := d.ReadAt(p, 2<<20); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d, %v", n, err)
	}
	if _, err := d.WriteAt(p, 2<<20-4); err == nil {
		t.Error("a write over the end")
	}
	if _, err := d.ReadAt(p, -1); err == nil {
		t.Error("a read before the start")
	}
	if e, err := blockdev.NextExtent(d, 0, 2<<20); err != nil || e.Kind != blockdev.Data || e.Host != nil || e.Len != 2<<20 {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestConcurrent: writers of neighbouring bytes do not lose each other's.
func TestConcurrent(t *testing.T) {
	_, d := opened(t, 1<<20, 4096)
	const workers, slot = 8, 100
	want := noise(1<<20, 4)
	if _, err := d.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for at := w * slot; at+slot <= len(want); at += workers * slot {
				part := bytes.Repeat([]byte{byte(w)}, slot)
				if _, err := d.WriteAt(part, int64(at)); err != nil {
					t.Error(err)
				}
				got := make([]byte, slot)
				if _, err := d.ReadAt(got, int64(at)); err != nil || !bytes.Equal(got, part) {
					t.Errorf("at %d: %v", at, err)
				}
			}
		})
	}
	wg.Wait()
	for at := 0; at+slot <= len(want); at += slot {
		copy(want[at:], bytes.Repeat([]byte{byte(at / slot % workers)}, slot))
	}
	tail := len(want) / slot * slot
	got := make([]byte, len(want))
	if _, err := d.ReadAt(got, 0); err != nil || !bytes.Equal(got[:tail], want[:tail]) || !bytes.Equal(got[tail:], want[tail:]) {
		t.Errorf("bytes were lost (%v)", err)
	}
}

// TestSpans: only whole sectors can be given up.
func TestSpans(t *testing.T) {
	_, d := opened(t, 1<<20, 4096)
	for _, c := range []struct{ off, n, from, length int64 }{
		{0, 1 << 20, 4096, 1 << 20}, {4096, 8192, 8192, 8192}, {512, 8192, 8192, 4096}, {512, 4096, 0, 0}, {0, 0, 0, 0}, {1 << 20, 1, 0, 0}, {-1, 5000, 0, 0},
	} {
		got := d.spans(3)(c.off, c.n)
		if c.length == 0 {
			if len(got) != 0 {
				t.Errorf("%d+%d is %v", c.off, c.n, got)
			}
			continue
		}
		if len(got) != 1 || got[0] != (volume.Span{Member: 3, Off: c.from, Len: c.length}) {
			t.Errorf("%d+%d is %v", c.off, c.n, got)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, spec := range []string{"aes-xts-plain64", "aes-cbc-essiv:sha256"} {
		for _, sector := range []int{512, 4096} {
			b.Run(spec+"/"+string(rune('0'+sector/4096*4)), func(b *testing.B) {
				key := noise(64, 9)
				if spec != "aes-xts-plain64" {
					key = key[:32]
				}
				s, err := newSectors(spec, key, sector)
				if err != nil {
					b.Fatal(err)
				}
				d := newDevice(blockdev.FromBytes(noise(8<<20, 1)), segment{size: 8 << 20, sector: sector}, s)
				p := make([]byte, 1<<20)
				b.SetBytes(int64(len(p)))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, err := d.ReadAt(p, int64(i%8)<<20); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
