package main

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// schemas are the files of a bundle's schemas/, by their fingerprint, each held against it.
type schemas map[string]any

// headBytes: C3 01 and the fingerprint (Avro's single-object encoding).
const headBytes = 10

func readSchemas(dir string) (schemas, error) {
	found := schemas{}
	paths, err := filepath.Glob(filepath.Join(dir, "*.avsc"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var schema any
		if err := json.Unmarshal(text, &schema); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		mark := binary.LittleEndian.AppendUint64(nil, crc64(canonicalForm(schema, map[string]bool{})))
		if name := filepath.Base(path); !strings.HasSuffix(name, "."+hex.EncodeToString(mark)+".avsc") {
			return nil, fmt.Errorf("%s: its fingerprint is %x", name, mark)
		}
		found[string(mark)] = schema
	}
	return found, nil
}

// record decodes a value of single-object encoding; the name of the record and its fields.
func (known schemas) record(value []byte) (string, map[string]any, error) {
	if len(value) < headBytes || value[0] != 0xC3 || value[1] != 0x01 {
		return "", nil, fmt.Errorf("it is no Avro single object")
	}
	schema, found := known[string(value[2:headBytes])].(map[string]any)
	if !found {
		return "", nil, fmt.Errorf("its schema %x is not in the bundle", value[2:headBytes])
	}
	reader := &reader{rest: value[headBytes:], named: map[string]any{}}
	form := reader.value(schema)
	if reader.err == nil && len(reader.rest) > 0 {
		reader.fail("%d bytes are left over", len(reader.rest))
	}
	fields, _ := form.(map[string]any)
	name, _ := schema["name"].(string)
	return name, fields, reader.err
}

type reader struct {
	rest  []byte
	named map[string]any
	err   error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.rest = nil
}

func (r *reader) take(count int64) []byte {
	if count < 0 || count > int64(len(r.rest)) {
		r.fail("it is cut off")
		return nil
	}
	taken := r.rest[:count]
	r.rest = r.rest[count:]
	return taken
}

// long reads a zigzag number; one that is written longer than need be is refused.
func (r *reader) long() int64 {
	number, size := binary.Uvarint(r.rest)
	if size <= 0 || (size > 1 && r.rest[size-1] == 0) {
		r.fail("a number is not written as it should be")
		return 0
	}
	r.rest = r.rest[size:]
	return int64(number>>1) ^ -int64(number&1)
}

func (r *reader) value(schema any) any {
	if r.err != nil {
		return nil
	}
	switch of := schema.(type) {
	case string:
		return r.primitive(of)
	case []any:
		branch := r.long()
		if branch < 0 || branch >= int64(len(of)) {
			r.fail("a union has no such branch")
			return nil
		}
		return r.value(of[branch])
	case map[string]any:
		return r.complex(of)
	}
	r.fail("a schema is no schema")
	return nil
}

func (r *reader) primitive(name string) any {
	switch name {
	case "null":
		return nil
	case "boolean":
		if one := r.take(1); one != nil {
			if one[0] > 1 {
				r.fail("a boolean is neither 0 nor 1")
			}
			return one[0] == 1
		}
		return nil
	case "int", "long":
		return r.long()
	case "double":
		return r.take(8)
	case "bytes":
		return append([]byte{}, r.take(r.long())...)
	case "string":
		text := r.take(r.long())
		if !utf8.Valid(text) {
			r.fail("a text is not UTF-8")
		}
		return string(text)
	}
	named, known := r.named[name]
	if !known {
		r.fail("a schema names %s, which is not known", name)
		return nil
	}
	return r.value(named)
}

func (r *reader) complex(schema map[string]any) any {
	if name, ok := schema["name"].(string); ok {
		r.named[name] = schema
		if space, ok := schema["namespace"].(string); ok {
			r.named[space+"."+name] = schema
		}
	}
	switch schema["type"] {
	case "record":
		form := map[string]any{}
		fields, _ := schema["fields"].([]any)
		for _, one := range fields {
			field, _ := one.(map[string]any)
			name, _ := field["name"].(string)
			form[name] = r.value(field["type"])
		}
		return form
	case "enum":
		symbols, _ := schema["symbols"].([]any)
		if index := r.long(); index >= 0 && index < int64(len(symbols)) {
			return symbols[index]
		}
		r.fail("an enum has no such symbol")
		return nil
	case "array":
		items := []any{}
		r.blocks(func() { items = append(items, r.value(schema["items"])) })
		return items
	case "map":
		values := map[string]any{}
		r.blocks(func() {
			name, _ := r.primitive("string").(string)
			values[name] = r.value(schema["values"])
		})
		return values
	}
	return r.value(schema["type"])
}

func (r *reader) blocks(each func()) {
	for r.err == nil {
		count := r.long()
		if count == 0 {
			return
		}
		if count < 0 || count > int64(len(r.rest)) {
			r.fail("a block has an odd count")
			return
		}
		for ; count > 0 && r.err == nil; count-- {
			each()
		}
	}
}

// canonicalForm is Avro's Parsing Canonical Form of a schema.
func canonicalForm(schema any, known map[string]bool) string {
	switch of := schema.(type) {
	case string:
		if known["countersign."+of] {
			return quoted("countersign." + of)
		}
		return quoted(of)
	case []any:
		parts := []string{}
		for _, one := range of {
			parts = append(parts, canonicalForm(one, known))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		kind, _ := of["type"].(string)
		switch kind {
		case "record", "enum":
			full, _ := of["name"].(string)
			if space, ok := of["namespace"].(string); ok && !strings.Contains(full, ".") {
				full = space + "." + full
			} else if !strings.Contains(full, ".") {
				full = "countersign." + full
			}
			known[full] = true
			if kind == "enum" {
				parts := []string{}
				symbols, _ := of["symbols"].([]any)
				for _, one := range symbols {
					parts = append(parts, quoted(fmt.Sprint(one)))
				}
				return `{"name":` + quoted(full) + `,"type":"enum","symbols":[` + strings.Join(parts, ",") + "]}"
			}
			parts := []string{}
			fields, _ := of["fields"].([]any)
			for _, one := range fields {
				field, _ := one.(map[string]any)
				name, _ := field["name"].(string)
				parts = append(parts, `{"name":`+quoted(name)+`,"type":`+canonicalForm(field["type"], known)+"}")
			}
			return `{"name":` + quoted(full) + `,"type":"record","fields":[` + strings.Join(parts, ",") + "]}"
		case "array":
			return `{"type":"array","items":` + canonicalForm(of["items"], known) + "}"
		case "map":
			return `{"type":"map","values":` + canonicalForm(of["values"], known) + "}"
		}
		return canonicalForm(of["type"], known)
	}
	return ""
}

func quoted(text string) string { return `"` + text + `"` }

// crc64 is CRC-64-AVRO.
func crc64(text string) uint64 {
	const empty = 0xc15d213aa4d7a795
	sum := uint64(empty)
	for _, one := range []byte(text) {
		table := (sum ^ uint64(one)) & 0xff
		for range 8 {
			table = (table >> 1) ^ (empty & -(table & 1))
		}
		sum = (sum >> 8) ^ table
	}
	return sum
}
