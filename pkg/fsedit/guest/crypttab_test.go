package guest

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseCrypttab(t *testing.T) {
	for text, want := range map[string]string{
		"root UUID=1 none luks\n":                               "[{root UUID=1}]",
		"# a comment\n\n  home\t/dev/sda3\n":                    "[{home /dev/sda3}]",
		"only\nswap /dev/sdb /dev/urandom swap\r\n":             "[{swap /dev/sdb}]",
		"../x /dev/sda1\n.. /dev/sda1\n. /dev/sda1\n":           "[]",
		`a\040b UUID="1-2"` + "\n" + `c PARTLABEL='my\040disk'`: "[{a b UUID=1-2} {c PARTLABEL=my disk}]",
		"": "[]",
	} {
		if got := fmt.Sprint(parseCrypttab([]byte(text))); got != want {
			t.Errorf("%q: %s, not %s", text, got, want)
		}
	}
	if got := len(parseCrypttab([]byte(strings.Repeat("a /dev/sda1\n", maxFstab+5)))); got != maxFstab {
		t.Errorf("%d entries", got)
	}
}

func FuzzCrypttab(f *testing.F) {
	f.Add("root UUID=1 none luks\n# x\nhome\t/dev/sda3 /key header=/dev/sdb\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, e := range parseCrypttab([]byte(text)) {
			if strings.Contains(e.name, "/") || e.spec == "" {
				t.Errorf("%+v", e)
			}
		}
	})
}
