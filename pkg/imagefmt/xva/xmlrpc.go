package xva

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	maxDepth  = 64      // nested values; real ones have about ten
	maxValues = 1 << 18 // values of one document; real ones have some thousands
	maxTag    = 4096    // bytes of a tag; real ones have no attributes
)

// value is a value of XML-RPC (xmlrpc.com/spec.md): text, whatever its type, or
// a struct, or an array.
type value struct {
	text    string
	typ     string // element that text is written in; none for a plain string
	members []namedValue
	items   []*value
	kind    valueKind
}

type valueKind uint8

const (
	textValue valueKind = iota
	structValue
	arrayValue
)

type namedValue struct {
	name  string
	value *value
}

// get is a member of a struct; an empty text if there is none.
func (v *value) get(name string) *value {
	for _, m := range v.members {
		if m.name == name {
			return m.value
		}
	}
	return &value{}
}

// isTrue understands XML-RPC's booleans and those that XenServer keeps as text.
func (v *value) isTrue() bool { return v.text == "1" || v.text == "true" }

// strings are the members of a struct that are text.
func (v *value) strings() map[string]string {
	m := map[string]string{}
	for _, x := range v.members {
		if x.value.kind == textValue {
			m[x.name] = x.value.text
		}
	}
	return m
}

// parseValue reads one document. Its depth and its number of values are limited.
func parseValue(doc []byte) (*value, error) {
	if hasLongTag(doc) {
		return nil, ondisk.Because(ondisk.ErrTooBig, "a tag of more than %d bytes", maxTag)
	}
	p := &parser{d: xml.NewDecoder(bytes.NewReader(doc))}
	start, err := p.start()
	if err == nil && (start == nil || start.Name.Local != "value") {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "no value of XML-RPC")
	}
	var v *value
	if err == nil {
		v, err = p.value(0)
	}
	if err == nil || errors.Is(err, ondisk.ErrTooBig) || errors.Is(err, ondisk.ErrCorrupt) {
		return v, err
	}
	return nil, ondisk.Because(ondisk.ErrCorrupt, "XML: %v", err) // the input is in memory: nothing else fails
}

// hasLongTag finds tags that would cost a multiple of their length in memory.
func hasLongTag(doc []byte) bool {
	for {
		i := bytes.IndexByte(doc, '<')
		if i < 0 || i+1 == len(doc) {
			return false
		}
		doc = doc[i+1:]
		if doc[0] != '!' && doc[0] != '?' && len(doc) > maxTag && bytes.IndexByte(doc[:maxTag], '>') < 0 {
			return true
		}
	}
}

type parser struct {
	d      *xml.Decoder
	values int
}

// start is the next element that begins, nil where the current one ends.
func (p *parser) start() (*xml.StartElement, error) {
	for {
		t, err := p.d.Token()
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			return &t, nil
		case xml.EndElement:
			return nil, nil
		}
	}
}

// each calls do for every element inside the current one, up to its end. do
// reads to the end of the element.
func (p *parser) each(do func(name string) error) error {
	for {
		s, err := p.start()
		if err != nil || s == nil {
			return err
		}
		if err := do(s.Name.Local); err != nil {
			return err
		}
	}
}

// value reads the inside of <value>: text, or one element that says the type.
func (p *parser) value(depth int) (*value, error) {
	if p.values++; p.values > maxValues || depth > maxDepth {
		return nil, ondisk.Because(ondisk.ErrTooBig, "more than %d values or %d levels of them", maxValues, maxDepth)
	}
	v, hasType := &value{}, false
	var text []byte
	for {
		t, err := p.d.Token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.CharData:
			text = append(text, t...)
		case xml.EndElement:
			if !hasType {
				v.text = string(text)
			}
			return v, nil
		case xml.StartElement:
			hasType = true
			if err := p.typed(v, t.Name.Local, depth); err != nil {
				return nil, err
			}
		}
	}
}

// typed reads the element of a type.
func (p *parser) typed(v *value, typ string, depth int) error {
	switch typ {
	case "struct":
		v.kind = structValue
		return p.each(func(string) error { return p.member(v, depth) })
	case "array":
		v.kind = arrayValue
		return p.each(func(string) error { // <data>
			return p.each(func(string) error {
				item, err := p.value(depth + 1)
				v.items = append(v.items, item)
				return err
			})
		})
	}
	text, err := p.text()
	v.text = text
	return err
}

func (p *parser) member(v *value, depth int) error {
	m := namedValue{value: &value{}}
	err := p.each(func(tag string) (err error) {
		switch tag {
		case "name":
			m.name, err = p.text()
		case "value":
			m.value, err = p.value(depth + 1)
		default:
			err = p.skip()
		}
		return err
	})
	v.members = append(v.members, m)
	return err
}

// text is the text of the current element; elements inside it have none.
func (p *parser) text() (string, error) {
	var text []byte
	for {
		t, err := p.d.Token()
		if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case xml.CharData:
			text = append(text, t...)
		case xml.StartElement:
			if err := p.skip(); err != nil {
				return "", err
			}
		case xml.EndElement:
			return string(text), nil
		}
	}
}

// skip reads to the end of the current element.
func (p *parser) skip() error {
	for depth := 1; depth > 0; {
		t, err := p.d.Token()
		if err != nil {
			return err
		}
		switch t.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		}
		if depth > maxDepth {
			return ondisk.Because(ondisk.ErrTooBig, "more than %d elements in each other", maxDepth)
		}
	}
	return nil
}
