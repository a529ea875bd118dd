package osfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// plan is a change of one file: what a transaction does, and what comes out.
type plan struct {
	name     string
	old, new []byte
	do       func(imagefmt.File) error
}

// scatter writes to many places of the file, as a format's updater does.
func scatter(name string, size int, seed uint64) plan {
	old := imagefmttest.Pattern(0, size, seed)
	p := plan{name: name, old: old, new: slices.Clone(old)}
	r := rand.New(rand.NewPCG(seed, 5))
	var writes []crashOp
	for i := range 12 {
		off := r.IntN(size)
		op := crashOp{int64(off), imagefmttest.Pattern(int64(off), min(size-off, r.IntN(9000)+1), seed+uint64(i)+1)}
		writes = append(writes, op)
		p.new = op.do(p.new)
	}
	p.do = func(f imagefmt.File) error {
		for _, op := range writes {
			if _, err := f.WriteAt(op.p, op.off); err != nil {
				return err
			}
		}
		return nil
	}
	return p
}

// grown is a file that gets longer, by writes behind its end with a gap.
func grown(name string, size int) plan {
	p := scatter(name, size, 77)
	tail := imagefmttest.Pattern(0, 300_000, 9)
	inner := p.do
	p.new = append(append(p.new, make([]byte, 7000)...), tail...)
	p.new = append(p.new, make([]byte, 12_345)...)
	p.do = func(f imagefmt.File) error {
		if err := inner(f); err != nil {
			return err
		}
		if _, err := f.WriteAt(tail, int64(size+7000)); err != nil {
			return err
		}
		return f.Truncate(int64(size + 7000 + len(tail) + 12_345))
	}
	return p
}

// shrunk is a file that gets shorter, after it was shorter still: what was cut
// does not come back.
func shrunk(name string, size int) plan {
	p := scatter(name, size, 99)
	inner := p.do
	clear(p.new[size/3:])
	p.new = p.new[:size/2]
	p.do = func(f imagefmt.File) error {
		if err := inner(f); err != nil {
			return err
		}
		return errors.Join(f.Truncate(int64(size/3)), f.Truncate(int64(size/2)))
	}
	return p
}

// runPlans makes the changes in one transaction on h.
func runPlans(h host, plans []plan) error {
	ctx := context.Background()
	t := begin(h, TxnOptions{})
	defer t.Close()
	for _, p := range plans {
		f, err := t.open(ctx, p.name, p.name)
		if err != nil {
			return err
		}
		if err := p.do(f); err != nil {
			return err
		}
	}
	return t.Commit(ctx)
}

func contents(plans []plan) map[string][]byte {
	m := map[string][]byte{}
	for _, p := range plans {
		m[p.name] = p.old
	}
	return m
}

// TestEveryCut cuts the power after every operation of a commit, keeps any of
// what was not synced, and cuts the recovery too. All files are old then, or all
// are new, and new if Commit had returned.
func TestEveryCut(t *testing.T) {
	dir := t.TempDir()
	for _, plans := range [][]plan{
		{scatter("/vm/a.img", 100_001, 1)},
		{grown("/vm/a.img", 50_000)},
		{shrunk("/vm/a.img", 200_000)},
		{scatter("/vm/a.img", 60_000, 1), grown("/vm/other/b.qcow2", 10_000), shrunk("/vm/c.img", 90_000)},
	} {
		cuts := 0
		for done := false; !done; cuts++ {
			h := newCrashHost(contents(plans))
			h.left = cuts
			err := runPlans(h, plans)
			done = err == nil
			if err != nil && !errors.Is(err, errCut) {
				t.Fatalf("cut %d: %v", cuts, err)
			}
			for seed := range uint64(8) {
				r := rand.New(rand.NewPCG(seed, uint64(cuts)))
				left := h.crash(r)
				if int(seed) == cuts%8 { // the disk syncs slowly
					checkReaders(t, filepath.Join(dir, fmt.Sprint(len(plans), cuts, seed)), left, plans, done)
				}
				checkRecovery(t, r, left, plans, done, fmt.Sprintf("cut %d, seed %d", cuts, seed))
			}
		}
		t.Logf("%d files: %d cuts", len(plans), cuts)
	}
}

// checkRecovery recovers what a cut has left, in any order, with another cut.
func checkRecovery(t *testing.T, r *rand.Rand, left map[string][]byte, plans []plan, done bool, at string) {
	t.Helper()
	h := newCrashHost(left)
	h.left = r.IntN(30)
	recoverAll(h, r, plans)
	left = h.crash(r)
	h = newCrashHost(left)
	if err := recoverAll(h, r, plans); err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	state := ""
	for _, p := range plans {
		is := "neither"
		if bytes.Equal(h.names[p.name].data, p.old) {
			is = "old"
		} else if bytes.Equal(h.names[p.name].data, p.new) {
			is = "new"
		}
		if state != "" && is != state {
			t.Fatalf("%s: %s is %s, others are %s", at, p.name, is, state)
		}
		state = is
	}
	if state == "neither" || (done && state != "new") {
		t.Fatalf("%s: the files are %s; committed: %v", at, state, done)
	}
	if logs := logsIn(h.crash(r)); len(logs) > 0 {
		t.Fatalf("%s: logs are left: %v", at, logs)
	}
}

func recoverAll(h host, r *rand.Rand, plans []plan) error {
	for _, i := range r.Perm(len(plans)) {
		if _, err := recoverFile(context.Background(), h, plans[i].name); err != nil {
			return err
		}
	}
	return nil
}

// checkReaders puts what a cut has left on the real disk: sources show old or
// new files, before the recovery and after it the same.
func checkReaders(t *testing.T, dir string, left map[string][]byte, plans []plan, done bool) {
	t.Helper()
	for name, p := range left {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, p, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string][]byte{}
	for _, p := range plans {
		src, err := Open(filepath.Join(dir, p.name), Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := p.old
		if done || src.Size() == int64(len(p.new)) && first(t, src, p.new) {
			want = p.new
		}
		imagefmttest.Device(t, src, want)
		seen[p.name] = want
		src.Close()
	}
	for _, p := range plans {
		path := filepath.Join(dir, p.name)
		if _, err := Recover(context.Background(), path); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, seen[p.name]) {
			t.Fatalf("%s: the reader saw something else than the recovery (%v)", p.name, err)
		}
	}
	os.RemoveAll(dir)
}

// first reports whether src holds want.
func first(t *testing.T, src imagefmt.Source, want []byte) bool {
	got := make([]byte, len(want))
	if _, err := src.ReadAt(got, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return bytes.Equal(got, want)
}

// cutCommit leaves a committed log and an untouched file on the real disk.
func cutCommit(t *testing.T, plans []plan) (dir string) {
	t.Helper()
	for left := 0; ; left++ {
		h := newCrashHost(contents(plans))
		h.left = left
		if err := runPlans(h, plans); err == nil {
			t.Fatal("no cut leaves a committed log")
		}
		l, err := openLog(h, logPath(plans[0].name))
		if err != nil {
			t.Fatal(err)
		}
		if l == nil || !l.complete || len(h.pending) > 0 {
			continue
		}
		dir = t.TempDir()
		for name, f := range h.names {
			path := filepath.Join(dir, filepath.Base(name))
			if err := os.WriteFile(path, f.data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
}

// TestGuestRanSince: a log is not replayed over what somebody else has written.
func TestGuestRanSince(t *testing.T) {
	p := scatter("/vm/a.img", 100_000, 1)
	dir := cutCommit(t, []plan{p})
	path := filepath.Join(dir, "a.img")
	changed := 0
	for p.old[changed] == p.new[changed] {
		changed++
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("the guest was here"), int64(changed))
	f.Close()
	before, _ := os.ReadFile(path)
	check := func(err error) {
		t.Helper()
		if !errors.Is(err, ondisk.ErrBlocked) || !bytes.Contains([]byte(err.Error()), []byte(".a.img.vmconv-log")) {
			t.Errorf("want a refusal that names the log, got %v", err)
		}
	}
	_, err = Recover(t.Context(), path)
	check(err)
	_, err = Open(path, Options{})
	check(err)
	txn := Begin(TxnOptions{})
	defer txn.Close()
	_, err = txn.File(t.Context(), path)
	check(err)
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was touched")
	}
}

// TestNextTransactionRecovers: nobody has to call Recover.
func TestNextTransactionRecovers(t *testing.T) {
	p := grown("/vm/a.img", 30_000)
	dir := cutCommit(t, []plan{p})
	txn := Begin(TxnOptions{})
	defer txn.Close()
	f, err := txn.File(t.Context(), filepath.Join(dir, "a.img"))
	if err != nil {
		t.Fatal(err)
	}
	imagefmttest.Device(t, f, p.new)
	if _, err := os.Stat(filepath.Join(dir, ".a.img.vmconv-log")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log is still there: %v", err)
	}
}

// TestLeaderLost: a member's log without its leader is dropped when the file is
// wholly old, and kept when the file is half new.
func TestLeaderLost(t *testing.T) {
	a, b := scatter("/vm/a.img", 50_000, 1), scatter("/vm/b.img", 50_000, 2)
	for _, half := range []bool{false, true} {
		dir := cutCommit(t, []plan{a, b})
		os.Remove(filepath.Join(dir, ".a.img.vmconv-log"))
		path := filepath.Join(dir, "b.img")
		if half {
			mixed := append(slices.Clone(b.new[:25_088]), b.old[25_088:]...)
			if err := os.WriteFile(path, mixed, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Recover(t.Context(), path)
		if half != errors.Is(err, ondisk.ErrBlocked) || !half && err != nil {
			t.Errorf("half new: %v; Recover: %v", half, err)
		}
	}
}

// TestTxnAgreesWithModel: the view of a transaction is a file, and what Commit
// leaves is that file.
func TestTxnAgreesWithModel(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 8))
		path := filepath.Join(t.TempDir(), "a.img")
		model := imagefmttest.Pattern(0, 200_000, seed)
		if err := os.WriteFile(path, model, 0o644); err != nil {
			t.Fatal(err)
		}
		original := slices.Clone(model)
		txn := Begin(TxnOptions{})
		f, err := txn.File(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 60 {
			off := int64(r.IntN(300_000))
			if r.IntN(4) == 0 {
				model = crashOp{off: off}.do(model)
				err = f.Truncate(off)
			} else {
				p := imagefmttest.Pattern(off, r.IntN(10_000)+1, uint64(i))
				model = crashOp{off, p}.do(model)
				_, err = f.WriteAt(p, off)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		imagefmttest.Device(t, f, model)
		if now, _ := os.ReadFile(path); !bytes.Equal(now, original) {
			t.Fatal("the file changed before the commit")
		}
		if err := errors.Join(txn.Commit(t.Context()), txn.Close()); err != nil {
			t.Fatal(err)
		}
		if now, _ := os.ReadFile(path); !bytes.Equal(now, model) {
			t.Fatalf("seed %d: the commit left something else", seed)
		}
		if names := namesIn(t, filepath.Dir(path)); len(names) != 1 {
			t.Errorf("left in the folder: %v", names)
		}
	}
}

func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestTxnWithoutChange leaves the file alone, its times too.
func TestTxnWithoutChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.img")
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Stat(path)
	txn := Begin(TxnOptions{})
	if _, err := txn.File(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(txn.Commit(t.Context()), txn.Close()); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(path); !after.ModTime().Equal(before.ModTime()) {
		t.Error("the modification time changed")
	}
	if err := txn.Commit(t.Context()); err == nil {
		t.Error("a second Commit was accepted")
	}
}

// TestFullDisk: a log that does not fit is no log, and no change.
func TestFullDisk(t *testing.T) {
	plans := []plan{scatter("/vm/a.img", 50_000, 1), scatter("/vm/b.img", 50_000, 2)}
	h := newCrashHost(contents(plans))
	err := runPlans(fullHost{h}, plans)
	if !errors.Is(err, ondisk.ErrNoSpace) {
		t.Errorf("Commit: %v", err)
	}
	if !maps.EqualFunc(h.crash(rand.New(rand.NewPCG(1, 1))), contents(plans), bytes.Equal) {
		t.Error("something changed")
	}
}

type fullHost struct{ *crashHost }

func (fullHost) freeSpace(string) (int64, error) { return 1000, nil }
