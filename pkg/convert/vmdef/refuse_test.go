package vmdef

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// envelope is an OVF of the given references and disks.
func envelope(references, disks string) string {
	return `<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"><References>` + references +
		`</References><DiskSection>` + disks + `</DiskSection></Envelope>`
}

// TestRefuse is what no reader may take, and the words that say why.
func TestRefuse(t *testing.T) {
	deep := strings.Repeat("<a>", 201) + strings.Repeat("</a>", 201)
	for name, c := range map[string]struct {
		kind Kind
		text string
		want error
		says string
	}{
		"ovf delta":       {KindOVF, envelope("", `<Disk diskId="a" parentRef="b"/>`), ondisk.ErrUnsupported, "consolidate"},
		"ovf no file":     {KindOVF, envelope("", `<Disk diskId="a" fileRef="b"/>`), ondisk.ErrCorrupt, `"b"`},
		"ovf compression": {KindOVF, envelope(`<File href="a" compression="lzma"/>`, ""), ondisk.ErrUnsupported, "lzma"},
		"ovf chunks":      {KindOVF, envelope(`<File href="a" size="9000000000000000000" chunkSize="1"/>`, ""), ondisk.ErrTooBig, "chunks"},
		"ovf many chunks": {KindOVF, envelope(strings.Repeat(`<File href="a" size="400000" chunkSize="1"/>`, 2), ""), ondisk.ErrTooBig, "chunks"},
		"ovf chunk of 0":  {KindOVF, envelope(`<File href="a" size="9" chunkSize="0"/>`, ""), ondisk.ErrCorrupt, "chunk"},
		"ovf entity":      {KindOVF, `<!DOCTYPE a [<!ENTITY b "c">]><Envelope/>`, ondisk.ErrUnsupported, "document type"},
		"ovf use of one":  {KindOVF, `<Envelope>&b;</Envelope>`, ondisk.ErrCorrupt, "entity"},
		"ovf depth":       {KindOVF, deep, ondisk.ErrTooBig, "nest"},
		"ovf elements":    {KindOVF, "<Envelope>" + strings.Repeat("<a/>", maxNodes) + "</Envelope>", ondisk.ErrTooBig, "elements"},
		"ovf attributes":  {KindOVF, "<Envelope" + strings.Repeat(` a=""`, maxNodes) + "/>", ondisk.ErrTooBig, "elements"},
		"ovf cut":         {KindOVF, "<Envelope>\n<References>", ondisk.ErrCorrupt, "line 2"},
		"ovf other root":  {KindOVF, "<domain/>", ondisk.ErrFormat, "domain"},
		"ovf encoding":    {KindOVF, "<?xml version='1.0' encoding='Big5'?><Envelope>\xa4\xa4</Envelope>", ondisk.ErrUnsupported, "Big5"},
		"ovf not UTF-8":   {KindOVF, "<?xml version='1.0' encoding='UTF-8'?><Envelope>\xe9</Envelope>", ondisk.ErrCorrupt, "not valid UTF-8"},
		"libvirt root":    {KindLibvirt, "<domainsnapshot/>", ondisk.ErrFormat, "domainsnapshot"},
		"libvirt number":  {KindLibvirt, "<domain><memory>much</memory></domain>", ondisk.ErrCorrupt, "much"},
		"libvirt lxc":     {KindLibvirt, "<domain><os><type>exe</type></os></domain>", ondisk.ErrUnsupported, "container"},
		"libvirt depth":   {KindLibvirt, "<domain>" + deep + "</domain>", ondisk.ErrTooBig, "nest"},
		"vmx encrypted":   {KindVMX, "displayName = \"a\"\nencryption.keySafe = \"vmware:key/x\"", ondisk.ErrEncrypted, "encrypted"},
		"vmx line":        {KindVMX, "a = \"b\"\nno setting", ondisk.ErrCorrupt, "line 2"},
		"vmx quotes":      {KindVMX, "a = \"b", ondisk.ErrCorrupt, "quotes"},
		"vmx lines":       {KindVMX, strings.Repeat("a=b\n", maxNodes+1), ondisk.ErrTooBig, "elements"},
		"vmx empty":       {KindVMX, "# nothing\n", ondisk.ErrFormat, "no settings"},
		"xl import":       {KindXL, "name = 'a'\nimport os\n", ondisk.ErrUnsupported, "line 2"},
		"xl call":         {KindXL, "name = open('/etc/passwd').read()", ondisk.ErrUnsupported, "expressions"},
		"xl sum":          {KindXL, "name = 'a' + 'b'", ondisk.ErrUnsupported, "expressions"},
		"xl format":       {KindXL, "vcpus = 2\nname = 'a%d' % vcpus", ondisk.ErrUnsupported, "line 2"},
		"xl two strings":  {KindXL, "name = 'a''b'", ondisk.ErrUnsupported, "strings"},
		"xl condition":    {KindXL, "if 1:\n  name = 'a'", ondisk.ErrUnsupported, "line 1"},
		"xl open string":  {KindXL, "name = 'a\n'", ondisk.ErrCorrupt, "string"},
		"xl open list":    {KindXL, "disk = [ 'a',\n", ondisk.ErrUnsupported, "line 2"},
		"xl depth":        {KindXL, "disk = " + strings.Repeat("[", 300), ondisk.ErrTooBig, "nest"},
		"xl values":       {KindXL, "disk = [" + strings.Repeat("1,", maxNodes) + "]", ondisk.ErrTooBig, "values"},
		"xl disk":         {KindXL, "disk = ['/a,raw,xvda,w,more']", ondisk.ErrCorrupt, "too many"},
		"xl disk format":  {KindXL, "disk = ['/a,zfs,xvda,w']", ondisk.ErrUnsupported, "zfs"},
		"xl disk unnamed": {KindXL, "disk = ['/a']", ondisk.ErrCorrupt, "virtual device"},
		"xl disk no list": {KindXL, "disk = '/a,raw,xvda'", ondisk.ErrCorrupt, "list"},
		"xl append":       {KindXL, "disk += ['/a,raw,xvda']", ondisk.ErrUnsupported, "append"},
		"xl append text":  {KindXL, "name = 'a'\nname += 'b'", ondisk.ErrUnsupported, "append"},
		"hyperv":          {KindHyperV, "<configuration/>", ondisk.ErrUnsupported, "hyperv"},
		"nothing":         {KindUnknown, "", ondisk.ErrFormat, "not the description"},
	} {
		_, _, err := Parse(c.kind, []byte(c.text), ondisk.Limits{})
		if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, kind := range []Kind{KindOVF, KindLibvirt, KindVMX, KindXL} {
		_, _, err := Parse(kind, make([]byte, 101), ondisk.Limits{Text: 100})
		if !errors.Is(err, ondisk.ErrTooBig) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestDetect(t *testing.T) {
	utf16 := "\xff\xfe"
	for _, c := range "<configuration><a/>" {
		utf16 += string([]byte{byte(c), 0})
	}
	for text, want := range map[string]Kind{
		"":                                       KindUnknown,
		"\x00\x00\x00":                           KindUnknown,
		"QFI\xfb\x00":                            KindUnknown,
		"# Disk DescriptorFile\nversion=1\nCID=": KindUnknown,
		"memory: 2048\ncores: 2\n":               KindUnknown,
		"<html><body/>":                          KindUnknown,
		"\xef\xbb\xbf<?xml version='1.0' encoding='utf-16'?>\n<!-- x --><ovf:Envelope a='b'>": KindOVF,
		"\n<domain type='xen'><name>":                            KindLibvirt,
		"<?xml version=\"1.0\"?>\n<VirtualBox version=\"1.15\">": KindVirtualBox,
		utf16:                    KindHyperV,
		"name = 'a'\ndisk = [\n": KindXL,
		"config.version = \"8\"\nvirtualHW.version = \"8\"\nmemory = \"1\"\n": KindVMX,
		".encoding = \"UTF-8\"\nDisplayName = \"x\"\n":                        KindVMX,
		"#name = 'a'\n#memory = 1\n":                                          KindUnknown,
	} {
		if got := Detect([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]int64{
		"byte": 1, "byte * 2^30": 1 << 30, "byte*2^20": 1 << 20, "byte * 1024": 1024, "byte * 1024 * 1024": 1 << 20,
		"MegaBytes": 1 << 20, "GigaBytes": 1 << 30, "byte * 10^9": 1e9, "KB * 2^10": 1 << 20,
		"byte * 2^63": 0, "byte * 0": 0, "hertz * 10^6": 0, "2^30": 0, "byte * 2^-1": 0, "byte *": 0, "": 0,
	} {
		got, ok := parseUnits(text)
		if got != want || ok != (want > 0) {
			t.Errorf("%q: %d %v, want %d", text, got, ok, want)
		}
	}
}

func TestManifest(t *testing.T) {
	const hash1, hash256 = "da39a3ee5e6b4b0d3255bfef95601890afd80709", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	in := "SHA256(a.ovf)= " + hash256 + "\r\n\r\nSHA1 (disk (1).vmdk) =" + strings.ToUpper(hash1) + "\nSHA512(c)= " + strings.Repeat("0f", 64)
	list, err := ParseManifest([]byte(in), ondisk.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := "SHA256(a.ovf)= " + hash256 + "\nSHA1(disk (1).vmdk)= " + hash1 + "\nSHA512(c)= " + strings.Repeat("0f", 64) + "\n"
	if got := string(Manifest(list)); got != want {
		t.Errorf("got %s", got)
	}
	for text, want := range map[string]error{
		"MD5(a)= d41d8cd98f00b204e9800998ecf8427e": ondisk.ErrUnsupported,
		"SHA1(a)= 1234":                  ondisk.ErrCorrupt,
		"SHA1(a) " + hash1:               ondisk.ErrCorrupt,
		"SHA1()= " + hash1:               ondisk.ErrCorrupt,
		"garbage":                        ondisk.ErrCorrupt,
		strings.Repeat("\n", maxNodes+1): ondisk.ErrTooBig,
	} {
		if _, err := ParseManifest([]byte(text), ondisk.Limits{}); !errors.Is(err, want) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// TestWarningsEnd: a hostile file does not make a list without end.
func TestWarningsEnd(t *testing.T) {
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "unknown_%d = 1\n", i)
	}
	_, warnings, err := ParseXL([]byte(text.String()), ondisk.Limits{})
	if err != nil || len(warnings) != maxWarnings+1 {
		t.Errorf("%d warnings, %v", len(warnings), err)
	}
}
